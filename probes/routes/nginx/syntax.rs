//! The syntax of nginx's configuration: directives of words, ended by `;` or a block.

/// Directives in all.
pub const MAX_DIRECTIVES: usize = 100_000;

/// Blocks within blocks.
pub const MAX_DEPTH: usize = 32;

/// A directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Its first word.
    pub name: String,
    /// The other words, without their quotes.
    pub arguments: Vec<String>,
    /// What stands in its braces; empty for a directive without.
    pub block: Vec<Directive>,
}

/// What nginx itself would refuse to start with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A quote, a directive or a block does not end.
    #[error("something does not end")]
    Unended,
    /// A brace closes nothing.
    #[error("a brace closes nothing, in line {0}")]
    Unopened(usize),
    /// More than the bounds allow.
    #[error("it is too deep or too large")]
    TooMuch,
}

/// A word or a sign.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    End,
    Open,
    Close,
}

/// Reads one file.
pub fn parse(text: &str) -> Result<Vec<Directive>, Malformed> {
    let mut tokens = Tokens { rest: text.chars().peekable(), line: 1 };
    // The directives of each open block, and the words of the directive that opened it.
    let mut open: Vec<(Vec<String>, Vec<Directive>)> = Vec::new();
    let mut directives = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut count = 0;
    while let Some(token) = tokens.next()? {
        match token {
            Token::Word(word) => words.push(word),
            Token::End => directives.extend(directive(std::mem::take(&mut words), Vec::new())),
            Token::Open if words.first().is_some_and(|name| name.ends_with("_by_lua_block")) => {
                tokens.skip_block()?;
                directives.extend(directive(std::mem::take(&mut words), Vec::new()));
            }
            Token::Open => {
                if open.len() >= MAX_DEPTH {
                    return Err(Malformed::TooMuch);
                }
                open.push((std::mem::take(&mut words), std::mem::take(&mut directives)));
            }
            Token::Close => {
                let Some((opener, outer)) = open.pop() else {
                    return Err(Malformed::Unopened(tokens.line));
                };
                let block = std::mem::replace(&mut directives, outer);
                directives.extend(directive(opener, block));
            }
        }
        count += 1;
        if count > MAX_DIRECTIVES {
            return Err(Malformed::TooMuch);
        }
    }
    if open.is_empty() && words.is_empty() { Ok(directives) } else { Err(Malformed::Unended) }
}

fn directive(words: Vec<String>, block: Vec<Directive>) -> Option<Directive> {
    let mut words = words.into_iter();
    Some(Directive { name: words.next()?, arguments: words.collect(), block })
}

struct Tokens<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
}

impl Tokens<'_> {
    fn next(&mut self) -> Result<Option<Token>, Malformed> {
        loop {
            return Ok(Some(match self.take() {
                None => return Ok(None),
                Some('#') => {
                    while self.take().is_some_and(|c| c != '\n') {}
                    continue;
                }
                Some(c) if c.is_whitespace() => continue,
                Some(';') => Token::End,
                Some('{') => Token::Open,
                Some('}') => Token::Close,
                Some(quote @ ('"' | '\'')) => Token::Word(self.quoted(quote)?),
                Some(first) => Token::Word(self.word(first)),
            }));
        }
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.next();
        if c == Some('\n') {
            self.line += 1;
        }
        c
    }

    fn quoted(&mut self, quote: char) -> Result<String, Malformed> {
        let mut word = String::new();
        loop {
            match self.take().ok_or(Malformed::Unended)? {
                c if c == quote => return Ok(word),
                '\\' => word.push(self.take().ok_or(Malformed::Unended)?),
                c => word.push(c),
            }
        }
    }

    /// A word that is not quoted; `${name}` is part of it.
    fn word(&mut self, first: char) -> String {
        let mut word = String::from(first);
        let mut after_dollar = first == '$';
        let mut in_variable = false;
        while let Some(c) = self.rest.peek().copied() {
            match c {
                '{' if after_dollar => in_variable = true,
                '}' if in_variable => in_variable = false,
                '{' | ';' => break,
                c if c.is_whitespace() => break,
                '\\' => {
                    self.take();
                    word.push('\\');
                }
                _ => {}
            }
            after_dollar = c == '$';
            if let Some(c) = self.take() {
                word.push(c);
            }
        }
        word
    }

    /// Passes over a block of another language, whose braces pair up.
    fn skip_block(&mut self) -> Result<(), Malformed> {
        let mut depth = 1usize;
        while depth > 0 {
            match self.take().ok_or(Malformed::Unended)? {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(words: &str) -> Directive {
        let mut words = words.split(' ').map(str::to_owned);
        Directive { name: words.next().unwrap(), arguments: words.collect(), block: Vec::new() }
    }

    #[test]
    fn directives_blocks_quotes_and_comments_are_read() {
        let text = r#"
            user www-data; # who; { }
            http {
                log_format main '$remote_addr "x"; {' "a \"b\"";
                server { listen 80; location ~ "^/a{2}$" { return 200 "}"; } }
            }
        "#;
        let http = &parse(text).unwrap()[1];
        assert_eq!(http.block[0].arguments, ["main", "$remote_addr \"x\"; {", "a \"b\""]);
        let server = &http.block[1];
        assert_eq!(server.block[0], plain("listen 80"));
        assert_eq!(parse(text).unwrap()[0], plain("user www-data"));
    }

    #[test]
    fn braces_of_a_variable_open_no_block() {
        let text = "proxy_pass http://${backend}:18789/$1; set $x ${y};";
        assert_eq!(
            parse(text).unwrap(),
            [plain("proxy_pass http://${backend}:18789/$1"), plain("set $x ${y}")]
        );
    }

    #[test]
    fn another_language_in_a_block_is_passed_over() {
        let text = "server { content_by_lua_block { local t = { a = 'x' } if t then end } listen 80; }";
        assert_eq!(parse(text).unwrap()[0].block, [plain("content_by_lua_block"), plain("listen 80")]);
    }

    #[test]
    fn what_does_not_end_is_malformed() {
        for text in ["http {", "listen 80", "a 'b;", "a \"b\\", "x_by_lua_block {"] {
            assert_eq!(parse(text), Err(Malformed::Unended), "{text}");
        }
        assert_eq!(parse("a;\n}"), Err(Malformed::Unopened(2)));
    }

    #[test]
    fn depth_and_size_are_bounded() {
        assert_eq!(parse(&"a{".repeat(100_000)), Err(Malformed::TooMuch));
        assert_eq!(parse(&"a;".repeat(MAX_DIRECTIVES)), Err(Malformed::TooMuch));
        assert_eq!(parse(&";".repeat(9)), Ok(Vec::new()));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r#"([{};'"\\$#\n ]|[a-z]{1,3}|\$\{|_by_lua_block|é){0,80}"#) {
            let _ = parse(&text);
        }
    }
}

//! The format, and that whatever names a metric names one that exists.

use super::*;

#[test]
fn a_metric_says_what_it_is_and_no_text_leaves_its_quotes_or_its_line() {
    let mut text = Exposition::default();
    text.gauge("a_up", "Whether \\ or \n \"so\".").is(1);
    text.counter("b_total", "Things.").with(&[("kind", "a\"b\\c\nd"), ("other", "é")], 2.5);
    text.gauge("c", "None.").may_be(None::<u8>);
    text.gauge("d", "A word.").word(&[("of", "x")], "is", &["yes", "no"], Some("no"));
    assert_eq!(
        text.into_text(),
        "# HELP a_up Whether \\\\ or \\n \"so\".\n# TYPE a_up gauge\na_up 1\n\
         # HELP b_total Things.\n# TYPE b_total counter\nb_total{kind=\"a\\\"b\\\\c\\nd\",other=\"é\"} 2.5\n\
         # HELP c None.\n# TYPE c gauge\n\
         # HELP d A word.\n# TYPE d gauge\nd{of=\"x\",is=\"yes\"} 0\nd{of=\"x\",is=\"no\"} 1\n"
    );
}

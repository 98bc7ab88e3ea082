// A person with a browser: does what the test says on standard input, a word a line, and answers with
// a line of JSON. browser.cjs URL PASSPHRASE TOKEN FOLDER
'use strict';
const [url, passphrase, token, folder] = process.argv.slice(2);
const { chromium } = require('/mnt/cache/npm/driver/node_modules/playwright-core');
const readline = require('node:readline');

const say = value => process.stdout.write(`${JSON.stringify(value)}\n`);
const shot = (page, name) => page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });

(async () => {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const context = await browser.newContext({ viewport: { width: 1000, height: 760 } });
  const page = await context.newPage();
  const errors = [];
  // What a page's own policy forbids is said on the console.
  page.on('console', line => { if (/Content Security Policy|Refused to/.test(line.text())) errors.push(line.text()); });
  let open = 0, heard = 0;
  page.on('websocket', socket => {
    open += 1;
    socket.on('framereceived', () => { heard += 1; });
    socket.on('close', () => { open -= 1; });
  });
  const seen = async () => ({
    title: await page.title(), url: page.url(), text: await page.locator('body').innerText(), open, heard, errors,
  });
  const until = async (so, limit = 30000) => {
    const end = Date.now() + limit;
    while (!so() && Date.now() < end) await page.waitForTimeout(20);
    return so();
  };
  // On a busy machine nobody may vouch for a moment: a person tries again.
  const patiently = async ask => {
    for (let tries = 0; tries < 30; tries += 1) {
      const answer = await ask();
      if (!answer || answer.status() !== 503) return;
      await page.waitForTimeout(1000);
    }
  };
  const visit = path => patiently(() => page.goto(`${url}${path}`));
  // By keyboard alone: the field has the focus.
  const type = async text => {
    await page.keyboard.type(text);
    const [answer] = await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
    return answer;
  };
  const signIn = text => patiently(async () => { await visit('/_guardian/sign-in'); return type(text); });
  const withCode = async code => {
    await visit('/_guardian/sign-in');
    await page.keyboard.type(passphrase);
    await page.keyboard.press('Tab');
    await shot(page, 'code');
    return type(code);
  };
  // An authenticator app with the secret of RFC 6238's vectors.
  const code = () => {
    const count = Buffer.alloc(8);
    count.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000)));
    const tag = require('node:crypto').createHmac('sha1', '12345678901234567890').update(count).digest();
    return String((tag.readUInt32BE(tag[19] & 15) & 0x7fffffff) % 1000000).padStart(6, '0');
  };
  // A code that was used, or could have been before the gate started, is not taken: a person waits for the
  // next.
  const untilTaken = async (offer, taken) => {
    for (let tries = 0; tries < 6; tries += 1) {
      const answer = await offer();
      if (answer.status() === 200 && taken()) return { taken: true };
      await page.waitForTimeout(16000);
    }
    return { taken: false };
  };
  const confirmWith = async text => {
    await page.goto(`${url}/_guardian/status`);
    await page.focus('#passphrase');
    await page.keyboard.type(passphrase);
    await page.keyboard.press('Tab');
    return type(text);
  };
  const confirm = async () => { await page.focus('#passphrase'); await type(passphrase); };
  const steps = {
    // Whoever is not signed in gets the page to do it.
    visit: () => visit('/'),
    'sign-in-wrongly': () => signIn('wrong'),
    'sign-in': () => signIn(passphrase),
    async panel() {
      // A panel whose socket was refused for a moment waits ever longer; a person loads it again.
      for (let tries = 0; tries < 3; tries += 1) {
        await visit(`/?token=${token}#token=${token}`);
        if (await until(() => open > 0 && heard > 0)) break;
      }
      await page.waitForTimeout(1500);
    },
    async stays() { const before = open; await page.waitForTimeout(5000); return { stayed: before > 0 && open > 0 }; },
    // From here on the test exposes the gateway; the socket is cut.
    async cut() { return { cut: await until(() => open === 0, 20000) }; },
    blocked: () => page.goto(`${url}/`),
    status: () => page.goto(`${url}/_guardian/status`),
    async narrow() {
      await page.setViewportSize({ width: 360, height: 740 });
      await page.emulateMedia({ colorScheme: 'dark' });
      await page.waitForTimeout(300);
      return { wide: await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth) };
    },
    async wide() {
      await page.setViewportSize({ width: 1000, height: 760 });
      await page.emulateMedia({ colorScheme: 'light' });
    },
    recover: confirm,
    // The page is not loaded again, unless it is another one: what it shows changes by itself.
    async live() { if (!page.url().endsWith('/status')) await page.goto(`${url}/_guardian/status`); },
    close: confirm,
    'sign-in-with-a-wrong-code': () => withCode('000 000'),
    'sign-in-with-code': () => untilTaken(() => withCode(code()), () => !page.url().includes('sign-in')),
    'recover-with-code': () => untilTaken(() => confirmWith(code()), () => page.url().endsWith('/status')),
    'close-with-code': () => untilTaken(() => confirmWith(code()), () => page.url().endsWith('/status')),
    async 'sign-out'() { await page.goto(`${url}/_guardian/status`); await page.click('text=Sign out'); await page.waitForLoadState(); await visit('/'); },
  };
  say({ ready: true });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    // A step, and what the page says after it.
    const [step, text] = line.split('\t');
    try {
      const more = await steps[step]();
      if (text) {
        await page.waitForFunction(wanted => document.body && document.body.innerText.includes(wanted), text, { timeout: 30000, polling: 50 });
      }
      await shot(page, step);
      say({ ...(await seen()), ...more });
    } catch (failed) {
      await shot(page, 'failed').catch(() => {});
      say({ failed: String(failed), ...(await seen().catch(() => ({}))) });
    }
  }
  await browser.close();
})().catch(failed => { say({ failed: String(failed) }); process.exit(1); });

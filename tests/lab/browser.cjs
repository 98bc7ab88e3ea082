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
  const type = async text => { await page.fill('#passphrase', text); await page.keyboard.press('Enter'); };
  const steps = {
    // Whoever is not signed in gets the page to do it.
    async visit() { await page.goto(url); await shot(page, 'sign-in'); },
    async 'sign-in-wrongly'() { await type('wrong'); await page.waitForSelector('[role=alert]'); await shot(page, 'sign-in-wrong'); },
    // By keyboard alone: the field has the focus.
    async 'sign-in'() {
      await page.goto(`${url}/_guardian/sign-in`);
      await page.keyboard.type(passphrase);
      await page.keyboard.press('Enter');
      await page.waitForURL(where => !where.pathname.includes('sign-in'));
    },
    async panel() {
      // On a busy machine nobody may vouch for a moment: a person tries again.
      for (let tries = 0; tries < 20; tries += 1) {
        const answer = await page.goto(`${url}/?token=${token}#token=${token}`);
        if (!answer || answer.status() !== 503) break;
        await page.waitForTimeout(1000);
      }
      await until(() => open > 0 && heard > 0);
      await page.waitForTimeout(1500);
      await shot(page, 'panel');
    },
    async stays() { const before = open; await page.waitForTimeout(5000); return { stayed: before > 0 && open > 0 }; },
    // From here on the test exposes the gateway; the socket is cut.
    async cut() { return { cut: await until(() => open === 0, 20000) }; },
    async blocked() { await page.goto(`${url}/`); await shot(page, 'blocked'); },
    async status() { await page.goto(`${url}/_guardian/status`); await page.waitForTimeout(700); await shot(page, 'status-open'); },
    async recover() { await type(passphrase); await page.waitForLoadState('networkidle').catch(() => {}); await page.waitForTimeout(800); await shot(page, 'after-recover'); },
    async narrow() {
      await page.setViewportSize({ width: 360, height: 740 });
      await page.emulateMedia({ colorScheme: 'dark' });
      await page.waitForTimeout(300);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
      await shot(page, 'status-narrow-dark');
      await page.setViewportSize({ width: 1000, height: 760 });
      await page.emulateMedia({ colorScheme: 'light' });
      return { wide };
    },
    // The page is not loaded again: what it shows changes by itself.
    async live() { await page.waitForTimeout(300); await shot(page, 'status-live'); },
    async close() { await type(passphrase); await page.waitForTimeout(800); await shot(page, 'after-close'); },
    async 'sign-out'() { await page.goto(`${url}/_guardian/status`); await page.click('text=Sign out'); await page.waitForTimeout(300); await page.goto(url); },
  };
  say({ ready: true });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    try {
      const more = await steps[line.trim()]();
      say({ ...(await seen()), ...more });
    } catch (failed) {
      await shot(page, 'failed').catch(() => {});
      say({ failed: String(failed), ...(await seen().catch(() => ({}))) });
    }
  }
  await browser.close();
})().catch(failed => { say({ failed: String(failed) }); process.exit(1); });

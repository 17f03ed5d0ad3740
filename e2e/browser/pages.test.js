// The built-in pages and the sample app, as people meet them.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { chromium } from 'playwright-core';

import { start } from './dev.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const NARROW = { width: 360, height: 740 };
const WIDE = { width: 1280, height: 800 };

let dev;
let browser;

before(async () => {
  dev = await start();
  // Chromium's sandbox does not work for root.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  browser = await chromium.launch({ executablePath: process.env.BROWSER_BINARY, args });
});

after(async () => {
  await browser?.close();
  await dev?.stop();
});

// A window of its own. Gives its page, and a function that tells what went wrong in it: complaints of the browser, as
// about what the content security policy forbids, and requests that left this machine.
async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const wrong = [];
  page.on('console', (message) => {
    // That an answer's status tells of an error is no fault of the page.
    const isStatus = message.text().startsWith('Failed to load resource: the server responded with a status');
    if (['error', 'warning'].includes(message.type()) && !isStatus) wrong.push(message.text());
  });
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('request', (request) => {
    if (new URL(request.url()).hostname !== '127.0.0.1') wrong.push(request.url());
  });
  return { context, page, wrong };
}

const button = (page, name) => page.getByRole('button', { name, exact: true });
const heading = (page, name) => page.getByRole('heading', { level: 1, name, exact: true }).waitFor();

async function begin(page) {
  await page.goto(dev.app);
  await button(page, 'Log in').click();
  await heading(page, 'Log in to Sample app');
}

async function logIn(page, username, password) {
  await page.getByLabel('User name').fill(username);
  await page.getByLabel('Password').fill(password);
  await button(page, 'Log in').click();
}

// What axe finds wrong. It comes by the debugger: the page's own policy lets no script in.
async function barriers(page) {
  const debug = await page.context().newCDPSession(page);
  const evaluate = async (expression) => {
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await debug.send('Runtime.evaluate', options);
    assert.equal(exceptionDetails, undefined);
    return result.value;
  };
  await evaluate(`${AXE}; undefined`);
  const { passes, violations } = await evaluate(`axe.run({ runOnly: ${JSON.stringify(RULES)} })`);
  await debug.detach();
  assert.ok(passes.length > 0, 'axe looked at nothing');
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(', ')}`);
}

// What everybody needs of a page: nothing in their way, nothing beside the window.
async function check(page, name) {
  assert.deepEqual(await barriers(page), [], name);
  const [content, window_] = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return [scrollWidth, clientWidth];
  });
  assert.ok(content <= window_, `${name} is ${content} pixels wide, the window ${window_}`);
  if (process.env.SCREENSHOTS) {
    mkdirSync(process.env.SCREENSHOTS, { recursive: true });
    await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`), fullPage: true });
  }
}

const LOOKS = {
  'light, wide': { colorScheme: 'light', viewport: WIDE },
  'light, narrow': { colorScheme: 'light', viewport: NARROW },
  'dark, wide': { colorScheme: 'dark', viewport: WIDE },
  'dark, narrow': { colorScheme: 'dark', viewport: NARROW },
};

for (const [look, options] of Object.entries(LOOKS)) {
  test(`a user clicks through to the tokens and out again (${look})`, async () => {
    const { context, page, wrong } = await open(options);
    const seen = (name) => check(page, `${look}, ${name}`);
    await page.goto(dev.app);
    await seen('sample app');
    await button(page, 'Log in').click();
    await heading(page, 'Log in to Sample app');
    await seen('login');

    await logIn(page, 'alice', 'mock turtle');
    await page.getByRole('alert').getByText('The user name or the password is wrong.').waitFor();
    await seen('login refused');
    assert.equal(await page.getByLabel('User name').inputValue(), 'alice');
    assert.equal(await page.getByLabel('Password').inputValue(), '');
    await page.getByLabel('Stay logged in on this browser').check();
    await logIn(page, 'alice', 'wonderland');

    await heading(page, 'Sample app asks for access');
    await seen('consent');
    await button(page, 'Allow').click();

    await heading(page, 'Hello, Alice Liddell');
    await seen('tokens');
    await page.getByText('The tokens themselves').click();
    await seen('tokens opened');
    const token = await page.locator('#access-token').textContent();
    assert.match(token, /^ory_at_/);
    await button(page, 'Refresh the tokens').click();
    await page.waitForFunction((old) => document.querySelector('#access-token')?.textContent !== old, token);

    await button(page, 'Log out').click();
    await heading(page, 'Log out?');
    await seen('logout');
    await button(page, 'Stay logged in').click();
    await heading(page, 'You are still logged in');
    await seen('still logged in');
    await page.goto(dev.app);
    await button(page, 'Log in').click();
    await heading(page, 'Sample app asks for access');
    await button(page, 'Allow').click();
    await button(page, 'Log out').click();
    await button(page, 'Log out').click();
    await page.waitForURL(dev.app);
    await heading(page, 'Sample app');

    await page.goto(`${dev.server}/oauth2/sessions/logout`);
    await heading(page, 'Your log out request however succeeded.');
    await seen('logged out');
    await page.goto(`${dev.server}/oauth2/auth`);
    await heading(page, 'The request cannot go on');
    await seen('error');
    assert.deepEqual(wrong, []);
    await context.close();
  });
}

// Sends a form as a device does.
async function ask(path, form) {
  const response = await fetch(dev.server + path, { method: 'POST', body: new URLSearchParams(form) });
  return response.json();
}

for (const [look, options] of Object.entries(LOOKS)) {
  test(`a user lets a device in (${look})`, async () => {
    const { context, page, wrong } = await open(options);
    const seen = (name) => check(page, `${look}, ${name}`);
    const device = { client_id: 'television' };
    const codes = await ask('/oauth2/device/auth', { ...device, scope: 'openid profile' });
    await page.goto(codes.verification_uri);
    await heading(page, 'Connect a device');
    await seen('device');
    await page.getByLabel('Code').fill('nonsense');
    await button(page, 'Continue').click();
    await page.getByRole('alert').waitFor();
    await seen('device code refused');
    await page.getByLabel('Code').fill(codes.user_code.toLowerCase());
    await button(page, 'Continue').click();
    await heading(page, 'Log in to Television');
    await logIn(page, 'alice', 'wonderland');
    await heading(page, 'Television asks for access');
    await seen('device consent');
    await button(page, 'Allow').click();
    await heading(page, 'Your device is connected');
    await seen('device connected');

    const grant = { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code: codes.device_code };
    assert.match((await ask('/oauth2/token', { ...device, ...grant })).access_token, /^ory_at_/);
    assert.deepEqual(wrong, []);
    await context.close();
  });
}

test('no script is needed', async () => {
  const { context, page } = await open({ javaScriptEnabled: false });
  await begin(page);
  await logIn(page, 'bob', 'builder');
  await button(page, 'Allow').click();
  await heading(page, 'Hello, Bob Cratchit');
  await context.close();
});

test('the keyboard is enough', async () => {
  const { context, page } = await open({});
  await page.goto(dev.app);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await heading(page, 'Log in to Sample app');
  // The cursor stands in the first field.
  await page.keyboard.type('bob');
  await page.keyboard.press('Tab');
  await page.keyboard.type('builder');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Space');
  assert.ok(await page.getByLabel('Stay logged in on this browser').isChecked());
  await page.keyboard.press('Enter');
  await heading(page, 'Sample app asks for access');
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
  while ((await focused()) !== 'Deny') await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await heading(page, 'That did not work');
  await page.getByText('access_denied').waitFor();
  await context.close();
});

test('a page of another site logs nobody in', async () => {
  const attacker = await open({});
  await begin(attacker.page);
  const challenge = await attacker.page.locator('input[name=login_challenge]').inputValue();
  const form = `<!DOCTYPE html><form method="post" action="${dev.server}/oauth2/fallbacks/login">
    <input name="login_challenge" value="${challenge}"><input name="username" value="bob">
    <input name="password" value="builder"><input name="remember" value="yes"><button>Win a prize</button></form>`;
  // To browsers, localhost and 127.0.0.1 are two sites.
  const site = createServer((_, response) => response.setHeader('content-type', 'text/html').end(form));
  await once(site.listen(0, 'localhost'), 'listening');

  const victim = await open({});
  await begin(victim.page);
  await victim.page.goto(`http://localhost:${site.address().port}/`);
  await button(victim.page, 'Win a prize').click();
  await heading(victim.page, 'The request cannot go on');
  await victim.page.getByText('did not begin in this browser').waitFor();
  const names = (await victim.context.cookies()).map((cookie) => cookie.name);
  assert.ok(!names.includes('ory_hydra_session_dev'), String(names));

  // The page is not shown inside another one either.
  const framed = createServer((_, response) =>
    response.setHeader('content-type', 'text/html').end(`<iframe src="${attacker.page.url()}"></iframe>`),
  );
  await once(framed.listen(0, '127.0.0.1'), 'listening');
  await attacker.page.goto(`http://127.0.0.1:${framed.address().port}/`);
  await attacker.page.waitForLoadState('networkidle');
  const inside = attacker.page.frames()[1];
  assert.equal(await inside.locator('input').count(), 0);
  assert.ok(attacker.wrong.some((text) => text.includes('frame-ancestors')), String(attacker.wrong));

  site.close();
  framed.close();
  await attacker.context.close();
  await victim.context.close();
});

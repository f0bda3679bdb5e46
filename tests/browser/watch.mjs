// What went wrong in a page: errors in its console, exceptions, and answers of our own origin that failed.
//
// Requests to other origins (the extension gallery) fail on a machine without a network and are nobody's fault.

import assert from 'node:assert/strict';

/** What VS Code itself says without any fault of ours, and why it is let pass. */
const NOISE = [
  // Asks for an authentication provider before the extension that provides it has come up; it goes on without.
  /Timed out waiting for authentication provider/,
  // The extension gallery, where there is no network.
  /open-vsx\.org/,
  // Its word for work that was given up because the window that wanted it is being left.
  /Canceled: Canceled/,
];

/** Follows `page`; `check()` fails when anything happened that is not expected. */
export function watch(page) {
  const expected = [...NOISE];
  const problems = [];
  const all = [];
  let left = false;
  // A workbench that is taken apart has much to say, and asks for files that do not exist, and nobody minds; until the next
  // page begins.
  const last = new WeakSet();
  page.on('request', (request) => left && !request.isNavigationRequest() && last.add(request));
  page.on('framenavigated', (frame) => frame === page.mainFrame() && (left = false));
  const note = (text) => {
    all.push(text);
    if (!expected.some((pattern) => pattern.test(text))) problems.push(text.slice(0, 400));
  };
  const ours = (url) => {
    const { hostname } = new URL(url || 'about:blank', 'http://nowhere.invalid');
    return /^(127\.0\.0\.1|localhost|.*\.localhost)$/.test(hostname);
  };
  page.on('console', (message) => {
    const { url } = message.location();
    if (message.type() !== 'error') return void all.push(`${message.type()}: ${message.text()}`);
    // The browser's own line on a request that failed; the request itself is looked at below.
    if (/^Failed to load resource/.test(message.text()) && !ours(url)) return;
    if (!left) note(`console: ${message.text()} (${url})`);
  });
  page.on('pageerror', (error) => left || note(`exception: ${error.stack ?? error}`));
  page.on('response', (response) => {
    const request = response.request();
    if (response.status() >= 400 && ours(request.url()) && !last.has(request)) note(`answer ${response.status()}: ${request.method()} ${request.url()}`);
  });
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText;
    // A page that is left or reloaded takes its requests with it.
    if (ours(request.url()) && !last.has(request) && why !== 'net::ERR_ABORTED') note(`failed ${why}: ${request.method()} ${request.url()}`);
  });
  return {
    page,
    all,
    problems,
    /** Lets what matches `pattern` pass from now on; say why where it is called. */
    expect: (pattern) => expected.push(pattern),
    /** To be called before the page is sent elsewhere or reloaded. */
    leave: () => (left = true),
    /** Forgets what has been seen so far; say why where it is called. */
    forget: () => problems.splice(0),
    check: () => assert.deepEqual([...problems], [], `a page saw errors at ${page.url()}`),
  };
}

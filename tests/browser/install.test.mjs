// The editor as an installed app: one per instance, by what the browser itself says about it.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PHONE } from './devices.mjs';
import { scene, until } from './support.mjs';

/** What the browser has read in the page's manifest, and what it finds wrong with it. */
async function app(page) {
  const cdp = await page.context().newCDPSession(page);
  // The page links to it, and the browser reads it in its own time.
  return until('the manifest is read', async () => {
    const { url, data, errors, manifest } = await cdp.send('Page.getAppManifest');
    const { installabilityErrors } = await cdp.send('Page.getInstallabilityErrors');
    const { appId } = await cdp.send('Page.getAppId');
    return url && { url, errors, appId, parsed: JSON.parse(data), manifest, problems: installabilityErrors.map((one) => one.errorId) };
  });
}

test('each instance is an app of its own, on phones and desktops', scene({ config: '[page]\nname = "Harbour"\nbackground = "#204060"\n' }, async ({ daemon, project, visit }) => {
  const ids = new Set();
  for (const [root, title, device] of [['', 'Harbour', PHONE], ['i/alice/', 'Harbour – alice', PHONE], ['i/bob/', 'Harbour – bob', {}]]) {
    const page = await visit(`${daemon.url}${root}?folder=${project}`, { ...device, lasting: true });
    const { errors, appId, parsed, manifest, problems } = await app(page);
    assert.deepEqual([errors, problems], [[], []], root);
    assert.deepEqual([parsed.name, parsed.short_name, parsed.display, parsed.theme_color], [title, title.split(' – ').at(-1), 'standalone', '#204060']);
    const at = `${daemon.url}${root}`;
    assert.deepEqual([manifest.scope, manifest.startUrl, manifest.id, appId], [at, at, at, at]);
    ids.add(appId);
    if (device === PHONE) assert.equal(await page.locator('meta[name=apple-mobile-web-app-title]').getAttribute('content'), parsed.short_name);
    for (const icon of parsed.icons) {
      const size = await page.evaluate(async (src) => {
        const image = new Image();
        image.src = src;
        await image.decode();
        return `${image.naturalWidth}x${image.naturalHeight}`;
      }, new URL(icon.src, at).href);
      assert.equal(size, icon.sizes, icon.src);
    }
    assert.deepEqual(parsed.icons.filter((icon) => icon.purpose === 'maskable').map((icon) => icon.sizes), ['192x192', '512x512']);
    assert.equal(await page.evaluate(async () => (await navigator.serviceWorker.ready).scope), at);
  }
  assert.equal(ids.size, 3);
}));

// The devices that the tests have in their hands: options for a browser profile.

import { activeTab, useRow } from './workbench.mjs';

const ANDROID = 'Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36';

const touched = (width, height, more) => ({ viewport: { width, height }, screen: { width, height }, isMobile: true, hasTouch: true, ...more });

export const PHONE = touched(390, 844, { deviceScaleFactor: 2, userAgent: ANDROID });
export const SMALL_PHONE = touched(360, 780, { deviceScaleFactor: 2, userAgent: ANDROID });

/** One that says it is a Macintosh. */
export const TABLET = touched(820, 1180, {
  deviceScaleFactor: 1,
  userAgent: 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15',
});

/** How high the keyboard on a phone's screen is, in CSS pixels. */
const KEYBOARD = 336;

/** What its keyboard does to the page of an Android phone that asks to be resized by it. */
export async function keyboardUp(page) {
  const { width, height } = page.viewportSize();
  await page.setViewportSize({ width, height: height - KEYBOARD });
}

export async function keyboardDown(page) {
  const { width, height } = page.viewportSize();
  await page.setViewportSize({ width, height: height + KEYBOARD });
}

/** Opens the drawer unless it is open: another file's tap has closed it. */
export async function withDrawer(page) {
  if (await page.locator('.monaco-workbench.nosidebar').count()) await openDrawer(page);
}

/** Opens the drawer with the side bar, and waits until it is there. */
export async function openDrawer(page) {
  await page.locator('.part.titlebar .codicon-panel-left-off').tap();
  await page.locator('.monaco-workbench.hoody-drawer .part.sidebar').waitFor();
}

/** Taps a row of the explorer, after `prepare`, until `opened` is there: by itself the file's tab. */
export async function tapRow(page, name, { opened = activeTab(page, name), prepare = async () => {} } = {}) {
  await useRow(page, name, opened, async (row) => {
    await prepare();
    if (!(await opened.count())) await row.tap({ timeout: 5_000 });
  });
}

/** Opens a file of the project's top directory with a finger. */
export async function tapFile(page, name) {
  await tapRow(page, name, { prepare: () => withDrawer(page) });
  await page.locator('.monaco-workbench.nosidebar').waitFor();
  await page.locator('.editor-instance .view-line').first().waitFor();
}

/** Taps one key of the row above the keyboard, and waits for the click that this becomes. */
export async function key(page, name) {
  const button = page.locator(`#hoody-keys button[aria-label="${name}"]:visible`);
  const clicked = await button.evaluateHandle((element) => ({ done: new Promise((resolve) => element.addEventListener('click', resolve, { once: true })) }));
  await button.tap();
  await clicked.evaluate(({ done }) => done.then(() => undefined));
}

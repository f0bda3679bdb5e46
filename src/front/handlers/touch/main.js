// What is different on a touch screen. Runs before the workbench's own module; on anything with a mouse it does nothing at all.
//
// The browser is asked, not its name: an iPad calls itself a Macintosh, and a phone in a dock has a mouse.

import { keepOwnLayout } from "./layout.js";

const touch = matchMedia("(pointer: coarse)").matches;
// The shorter side, so that a phone stays one when it is turned.
const phone = touch && Math.min(screen.width, screen.height) < 600;

if (touch) {
  const config = JSON.parse(document.getElementById("hoody-touch").content);
  applySettings({ ...config.touch, ...(phone ? config.phone : {}) });
  // The page gets what the keyboard leaves, where the browser would else put the keyboard over it.
  const viewport = document.querySelector("meta[name=viewport]");
  if (viewport) viewport.content += ", interactive-widget=resizes-content, viewport-fit=cover";
  // What iOS writes below the icon, before it looks into the manifest.
  document.querySelector("meta[name=apple-mobile-web-app-title]")?.setAttribute("content", config.name);
  const style = document.createElement("link");
  Object.assign(style, { rel: "stylesheet", href: new URL("./touch.css", import.meta.url) });
  document.head.append(style);
  document.documentElement.classList.add(phone ? "hoody-phone" : "hoody-touch");
  const begin = ([{ Room }, { startDrawer }, { startKeys }]) => {
    const room = new Room();
    if (phone && config.drawer) startDrawer(room);
    if (config.keys) startKeys(room);
  };
  if (phone && config.drawer) keepOwnLayout();
  Promise.all([import("./room.js"), import("./drawer.js"), import("./keys.js")]).then(begin, console.error);
}

/** Defaults for settings, into the workbench's own configuration: a user's own settings win. */
function applySettings(settings) {
  const element = document.getElementById("vscode-workbench-web-configuration");
  const configuration = JSON.parse(element.dataset.settings);
  configuration.configurationDefaults = { ...configuration.configurationDefaults, ...settings };
  element.dataset.settings = JSON.stringify(configuration);
}

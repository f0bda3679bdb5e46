// What the workbench's stores are called, what in them is nobody else's affair, and how addresses are translated.
//
// The files of this folder become one module, one after the other.

/** The workbench's databases, their only table, and those words of local storage that are an instance's. */
const PREFIX = 'vscode-web-state-db-';
const TABLE = 'ItemTable';
const SECRETS = 'secrets.provider';
const WORDS = [SECRETS, 'userDataProfiles', 'profileAssociations'];

/**
 * What is this browser's own affair: what is about it alone; on a phone, which of the bars around the editor are open and how large;
 * and secrets where browsers do not let pages seal them (without HTTPS).
 */
const OWN = /^(storage\.serviceMachineId|additionalBuiltinExtensions)$/;
const BARS = /^workbench\.(sideBar|panel|auxiliaryBar)\.(hidden|position|size|lastNonMaximized\w+|wasLastMaximized)$/;
/** handlers/touch/layout.js says so, which is in the page before; unless the operator has switched it off. */
const PHONE = Boolean(globalThis.hoodyDeviceState) || globalThis.matchMedia?.('(max-width: 600px) and (pointer: coarse)').matches;
const own = (key) => OWN.test(key) || (PHONE && BARS.test(key)) || (key === SECRETS && !globalThis.crypto.subtle);

/** Layout that is in the stores of all folders: which side bars there are, in which order, what was moved where. */
const LAYOUT = /^(views\.|workbench\.(activity|panel|auxiliarybar|sidebar|statusbar|layout|view)\b)|\.state\.hidden$/i;

/** In whatever address the instance is open, its files are at one: this stands for it in what is sent. */
const PLACE = 'hoody-code.invalid:1';

/** Translates between this page's address and `PLACE`, in keys and values. */
export function translator(host) {
  const plain = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const [code, placeCode] = [encodeURIComponent(host), encodeURIComponent(PLACE)];
  const end = '(?![\\w.:%-])';
  const address = new RegExp(`(vscode-remote://)${plain(host)}${end}`, 'g');
  const coded = new RegExp(`(vscode-remote%3A%2F%2F)${plain(code)}(?![\\w.:-]|%3A)`, 'gi');
  const named = new RegExp(`((?:a|remoteA)uthority\\\\*":\\\\*")${plain(host)}(?=\\\\*")`, 'g');
  const inKey = new RegExp(`(^|\\.)${plain(host)}(?=\\.|$)`, 'g');
  return {
    outKey: (key) => key.replace(inKey, `$1${PLACE}`),
    inKey: (key) => key.replaceAll(PLACE, host),
    out: (text) => text.replace(address, `$1${PLACE}`).replace(coded, `$1${placeCode}`).replace(named, `$1${PLACE}`),
    in: (text) => text.replaceAll(placeCode, code).replaceAll(PLACE, host),
  };
}

/** Which scope a database of the workbench is; `workspace` is that of what is open in this page. */
export function scopeOf(database, workspace) {
  if (!database.startsWith(PREFIX)) return undefined;
  const name = database.slice(PREFIX.length);
  if (name === 'global' || name === 'global-shared') return name;
  return name.startsWith('global-') ? `profile/${name.slice('global-'.length)}` : workspace;
}

// The secrets of extensions: VS Code keeps all of them in one word of local storage, sealed. Two devices that each store one would
// take turns in losing the other's; so that word is opened, and what one has changed is put into what the other has left.
//
// Sealed, it is base64 of a key (32 bytes), a nonce (12) and the rest, by AES-GCM with that key XOR the instance's (mint-key).

const [KEY, NONCE] = [32, 12];

async function instanceKey() {
  const answer = await fetch(new URL('./mint-key', location.href), { method: 'POST' });
  if (!answer.ok) throw new Error(`no key: answer ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

function cipher(own, instance, uses) {
  return crypto.subtle.importKey('raw', own.map((byte, n) => byte ^ instance[n]), 'AES-GCM', false, uses);
}

async function unseal(word, instance) {
  if (typeof word !== 'string') return {};
  const bytes = Uint8Array.from(atob(word), (letter) => letter.charCodeAt(0));
  const [own, iv, rest] = [bytes.slice(0, KEY), bytes.slice(KEY, KEY + NONCE), bytes.slice(KEY + NONCE)];
  const text = await crypto.subtle.decrypt({ name: 'AES-GCM', iv }, await cipher(own, instance, ['decrypt']), rest);
  return JSON.parse(new TextDecoder().decode(text));
}

async function seal(secrets, instance) {
  const [own, iv] = [crypto.getRandomValues(new Uint8Array(KEY)), crypto.getRandomValues(new Uint8Array(NONCE))];
  const text = new TextEncoder().encode(JSON.stringify(secrets));
  const rest = await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, await cipher(own, instance, ['encrypt']), text);
  return btoa(String.fromCharCode(...own, ...iv) + Array.from(new Uint8Array(rest), (byte) => String.fromCharCode(byte)).join(''));
}

/** What has changed from `before` to `after`, done to `theirs`; all of them sealed, or undefined for none. */
export async function mergeSecrets(before, after, theirs) {
  const instance = await instanceKey();
  // What cannot be opened is worth nothing to anybody: the workbench itself throws it away.
  const open = (word) => unseal(word, instance).catch(() => ({}));
  const [old, now, all] = await Promise.all([open(before), open(after), open(theirs)]);
  for (const key of new Set([...Object.keys(old), ...Object.keys(now)])) {
    if (now[key] === old[key]) continue;
    if (key in now) all[key] = now[key];
    else delete all[key];
  }
  return seal(all, instance);
}

// An editor without a browser: says what a real one was heard to say, to an instance of its own, over the workbench's own protocol.

import http from 'node:http';
import net from 'node:net';
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { BINARY, CLOSE, KIND, PING, PONG, frame, protocolMessage, protocolReader, websocketReader } from './frames.mjs';

/** As often as the workbench does it: the other side takes a silent one for gone after 20 s. */
const KEEP_ALIVE_MS = 5000;
/** What was received is confirmed after this long at the latest. */
const ACK_MS = 1000;
/** A server that has said less than the recorded one by then is not waited for: its events come as they come. */
const PATIENCE_MS = 2000;
/** No pause of the recorded one is longer than this: in the long ones nobody did anything. */
const PAUSE_MS = 50;
/** What a browser opens at most to one host. */
const CONNECTIONS = 6;

/** One websocket of the editor: frames, numbers and acknowledgements. */
export class Wire {
  #socket;
  #compress;
  #sent = 0;
  #received = 0;
  #acked = 0;
  #timer;
  #waiting = [];
  /** The process id that the server has said it has. */
  serverPid;
  /** How many messages with content the server has sent. */
  heard = 0;
  lastHeard = performance.now();
  closed = false;

  /** Opens one at `path`; gives it when the server has switched protocols. */
  static open(address, path, headers = {}, limit = 60) {
    const { host = 'localhost', port } = address;
    return new Promise((resolve, reject) => {
      const socket = net.connect(address);
      socket.setNoDelay(true);
      const timer = setTimeout(() => socket.destroy(new Error(`websocket ${path.split('?')[0]}: no answer after ${limit} s`)), limit * 1000);
      const failed = (error) => {
        clearTimeout(timer);
        reject(error ?? new Error('the websocket was closed before it was open'));
      };
      socket.once('error', failed).once('close', failed);
      const lines = Object.entries({
        Host: port ? `${host}:${port}` : host,
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
        'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits',
        ...headers,
      }).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
      let head = Buffer.alloc(0);
      const onData = (chunk) => {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        const text = head.latin1Slice(0, end);
        if (!text.startsWith('HTTP/1.1 101')) return socket.destroy(new Error(`the websocket was answered with ${text.split('\r\n')[0]}`));
        clearTimeout(timer);
        socket.off('data', onData).off('error', failed).off('close', failed);
        resolve(new Wire(socket, /permessage-deflate/i.test(text), head.subarray(end + 4)));
      };
      socket.on('data', onData);
    });
  }

  constructor(socket, compress, early) {
    this.#socket = socket;
    this.#compress = compress;
    const messages = protocolReader((message) => this.#onMessage(message));
    const read = websocketReader((opcode, payload) => {
      if (opcode === BINARY) messages(payload);
      else if (opcode === PING) this.#write(frame(PONG, payload));
      else if (opcode === CLOSE) socket.end();
    });
    socket.on('data', read);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
      clearInterval(this.#timer);
      this.#wake();
    });
    let ticks = 0;
    this.#timer = setInterval(() => {
      ticks += ACK_MS;
      if (this.#acked < this.#received) this.send(KIND.ack, Buffer.alloc(0));
      else if (ticks % KEEP_ALIVE_MS === 0) this.send(KIND.keepAlive, Buffer.alloc(0));
    }, ACK_MS);
    read(early);
  }

  #write(bytes) {
    if (!this.closed) this.#socket.write(bytes);
  }

  #wake() {
    for (const waiting of this.#waiting.splice(0)) waiting();
  }

  #onMessage({ kind, id, payload }) {
    if (kind === KIND.regular) this.#received = id;
    if (kind === KIND.regular || kind === KIND.control) {
      // The server's own number, in its answer about its environment: extension hosts watch whether it lives.
      this.serverPid ??= payload.length < 65536 && payload.includes('"appRoot"') ? /"pid":(\d+)/.exec(payload.latin1Slice())?.[1] : undefined;
      this.heard++;
      this.lastHeard = performance.now();
      this.last = payload;
      this.#wake();
    }
  }

  send(kind, payload) {
    const numbered = kind === KIND.regular;
    const bare = kind === KIND.control || kind === KIND.disconnect;
    if (!bare) this.#acked = this.#received;
    const message = protocolMessage(kind, numbered ? ++this.#sent : 0, bare ? 0 : this.#received, payload);
    this.#write(frame(BINARY, message, this.#compress));
  }

  /** Waits until the server has sent `count` messages, or has kept silent for longer than it should. */
  async wait(count, patience = PATIENCE_MS) {
    while (this.heard < count && !this.closed) {
      const news = new Promise((resolve) => this.#waiting.push(resolve));
      const silent = await Promise.race([news.then(() => false), sleep(patience, true, { ref: false })]);
      if (silent) return;
    }
  }

  /** Closes it as a browser does. */
  async close() {
    if (this.closed) return;
    this.#socket.write(frame(CLOSE, Buffer.from([0x03, 0xe9])));
    const gone = new Promise((resolve) => this.#socket.once('close', resolve));
    await Promise.race([gone, sleep(2000, undefined, { ref: false })]);
    this.#socket.destroy();
  }

  /** Is gone without a word: a reset, as from a machine that has lost its network or a browser that was killed. */
  vanish() {
    this.#socket.resetAndDestroy();
  }
}

/** Puts other words of the same length in the place of those that were recorded: nothing that counts bytes has to be counted anew. */
function replacer(pairs) {
  for (const [from, to] of pairs) if (from.length !== to.length) throw new Error(`'${to}' is not as long as '${from}'`);
  return {
    text: (text) => pairs.reduce((all, [from, to]) => all.replaceAll(from, to), text),
    bytes(bytes) {
      let copy;
      for (const [from, to] of pairs) {
        for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + from.length)) {
          copy ??= Buffer.from(bytes);
          copy.write(to, at, 'latin1');
        }
      }
      return copy ?? bytes;
    },
  };
}

const reconnectionToken = (path) => /reconnectionToken=([0-9a-f-]+)/.exec(path)?.[1];

/** One request; gives its status and body. */
function ask(agent, address, { method, path, headers, body }, limit = 120) {
  return new Promise((resolve, reject) => {
    const request = http.request({ ...address, agent, method, path, headers, timeout: limit * 1000 }, (answer) => {
      const chunks = [];
      answer.on('data', (chunk) => chunks.push(chunk));
      answer.on('end', () => resolve({ status: answer.statusCode, body: Buffer.concat(chunks) }));
      answer.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error(`${method} ${path}: no answer after ${limit} s`)));
    request.on('error', reject);
    request.end(body?.length ? body : undefined);
  });
}

/** Who navigates is shown a page to wait on, where the answer itself is what is wanted; and it shall be readable. */
const pageHeaders = (headers) => Object.fromEntries(Object.entries(headers).filter(([name]) => !/^(sec-fetch-.*|accept-encoding)$/.test(name)));

/** Whether this is the workbench's page, and not one that says "wait". */
export const isWorkbench = ({ status, body }) => status === 200 && body.includes('vscode-workbench-web-configuration');

/**
 * Opens an editor at `address` as `recording` (see recorder.mjs) was; `pairs` are words to be replaced, `[recorded, own]`.
 * `onUsable` is called when the page is there and its management connection was accepted.
 */
export async function openEditor({ address, recording, pairs, onUsable = () => {} }) {
  const tokens = recording.filter((step) => step.socket).map((step) => [reconnectionToken(step.socket.path), randomUUID()]);
  const own = replacer([...pairs, ...tokens.filter(([token]) => token)]);
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const wires = [];
  const scripts = [];
  let asking = [];
  let page;
  const failed = [];
  try {
    for (const step of recording) {
      if (step.request) {
        const { method, headers, body } = step.request;
        const request = { method, path: own.text(step.request.path), headers: { ...headers }, body: body && own.bytes(body) };
        if (!page) {
          page = await ask(agent, address, { ...request, headers: pageHeaders(headers) });
          if (!isWorkbench(page)) throw new Error(`${request.path} gave ${page.status} and ${page.body.length} bytes`);
        } else {
          asking.push(ask(agent, address, request).catch((error) => failed.push(error)));
        }
        continue;
      }
      // The scripts are what opens it.
      await Promise.all(asking);
      asking = [];
      const wire = await Wire.open(address, own.text(step.socket.path));
      wires.push({ wire, left: step.socket.left });
      const [{ wire: management }] = wires;
      const finish = (bytes) => withParent(own.bytes(bytes), management.serverPid);
      scripts.push(say(wire, step.socket.said, finish, wires.length === 1 ? onUsable : undefined));
    }
    await Promise.all([...asking, ...scripts]);
  } catch (error) {
    for (const { wire } of wires) wire.vanish();
    throw error;
  } finally {
    agent.destroy();
  }
  return {
    failed,
    /** Whether the server has closed a websocket. */
    broken: () => wires.some(({ wire }) => wire.closed),
    /** How long the server has said nothing, in ms. */
    silence: () => performance.now() - Math.max(...wires.map(({ wire }) => wire.lastHeard)),
    async close() {
      for (const { wire, left } of wires) for (const { kind, payload } of left) wire.send(kind, own.bytes(payload));
      await Promise.all(wires.map(({ wire }) => wire.close()));
    },
    vanish: () => wires.forEach(({ wire }) => wire.vanish()),
  };
}

/** What an extension host is told at its start, with the process whose end is its own end too. */
function withParent(bytes, pid) {
  const head = bytes.subarray(0, 512).latin1Slice();
  const named = /^\{"commit":.*?"parentPid":(\d+)/.exec(head);
  if (!named || !pid) return bytes;
  const end = named[0].length;
  return Buffer.concat([bytes.subarray(0, end - named[1].length), Buffer.from(pid), bytes.subarray(end)]);
}

async function say(wire, said, finish, onUsable) {
  let handshake = 0;
  let before = 0;
  // By how much the server has said less than the recorded one: that is waited for once.
  let missing = 0;
  for (const { kind, payload, after, at } of said) {
    await wire.wait(after - missing);
    missing = Math.max(missing, after - wire.heard);
    // Two words about who one is; what the server says to them is its consent.
    if (kind !== KIND.control && handshake === 2) {
      handshake++;
      onUsable?.();
    }
    // With the pauses of the recorded one, as far as they are a matter of the page's work and not of the server's.
    const pause = Math.min(at - before, PAUSE_MS);
    before = at;
    if (pause > 20 && missing === 0) await sleep(pause);
    if (wire.closed) return;
    wire.send(kind, finish(payload));
    if (kind === KIND.control) handshake++;
  }
}

/** The way back to an editor: the page, and its management connection accepted. Times in ms; then it is closed properly. */
export async function comeBack({ address, recording, pairs }) {
  const began = performance.now();
  const agent = new http.Agent();
  const [first] = recording;
  const open = recording.find((step) => step.socket).socket;
  const own = replacer([...pairs, [reconnectionToken(open.path), randomUUID()]]);
  const page = await ask(agent, address, { method: 'GET', path: own.text(first.request.path), headers: pageHeaders(first.request.headers) });
  if (!isWorkbench(page)) throw new Error(`the page gave ${page.status}`);
  const pageMs = performance.now() - began;
  const wire = await Wire.open(address, own.text(open.path));
  let answers = 0;
  for (const { kind, payload } of open.said.filter(({ kind }) => kind === KIND.control).slice(0, 2)) {
    wire.send(kind, own.bytes(payload));
    await wire.wait(++answers, 30_000);
  }
  const usableMs = performance.now() - began;
  if (wire.heard < 2 || !wire.last.includes('"ok"')) throw new Error('the management connection was not accepted');
  wire.send(KIND.disconnect, Buffer.alloc(0));
  await wire.close();
  return { pageMs, usableMs };
}

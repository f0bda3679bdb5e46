// HTTP and websocket on bare sockets: what is measured is the server and the kernel, not node's HTTP client.

import net from 'node:net';
import { randomBytes } from 'node:crypto';

export function connect(address) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(address);
    socket.setNoDelay(true);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.removeListener('error', reject);
      resolve(socket);
    });
  });
}

/** Where the answer that begins `buffer` ends; -1 while it is not complete. Knows lengths and chunks, as the servers here send them. */
function answerEnd(buffer) {
  const head = buffer.indexOf('\r\n\r\n');
  if (head < 0) return -1;
  const headers = buffer.latin1Slice(0, head);
  const length = /\r\ncontent-length: *(\d+)/i.exec(headers);
  const begin = head + 4;
  if (length) return buffer.length >= begin + Number(length[1]) ? begin + Number(length[1]) : -1;
  if (!/\r\ntransfer-encoding: *chunked/i.test(headers)) return begin;
  for (let at = begin; ; ) {
    const line = buffer.indexOf('\r\n', at);
    if (line < 0) return -1;
    const size = parseInt(buffer.latin1Slice(at, line), 16);
    at = line + 2 + size + 2;
    if (at > buffer.length) return -1;
    if (size === 0) return at;
  }
}

/** The length of a whole answer, when its headers are there and say it. */
function lengthOf(buffer) {
  const head = buffer.indexOf('\r\n\r\n');
  const length = head < 0 ? null : /\r\ncontent-length: *(\d+)/i.exec(buffer.latin1Slice(0, head));
  return length ? head + 4 + Number(length[1]) : undefined;
}

function parse(buffer) {
  const head = buffer.indexOf('\r\n\r\n');
  const [status, ...lines] = buffer.latin1Slice(0, head).split('\r\n');
  const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
  let body = buffer.subarray(head + 4);
  if (headers['transfer-encoding'] === 'chunked') {
    const pieces = [];
    for (let at = 0; ; ) {
      const line = body.indexOf('\r\n', at);
      const size = parseInt(body.latin1Slice(at, line), 16);
      if (size === 0) break;
      pieces.push(body.subarray(line + 2, line + 2 + size));
      at = line + 4 + size;
    }
    body = Buffer.concat(pieces);
  }
  return { status: Number(status.split(' ')[1]), headers, body };
}

const head = (path, headers) =>
  `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;

/** One request on a connection of its own; `limit` in seconds. */
export async function get(address, path, { headers = {}, limit = 20 } = {}) {
  const socket = await connect(address);
  try {
    return await getOn(socket, path, headers, limit);
  } finally {
    socket.destroy();
  }
}

/** One request on an open connection. */
export function getOn(socket, path, headers = {}, limit = 20) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let size = 0;
    let wanted;
    const done = (error, value) => {
      clearTimeout(timer);
      socket.off('data', onData).off('close', onClose).off('error', onClose);
      if (error) reject(error);
      else resolve(value);
    };
    const timer = setTimeout(() => done(new Error(`GET ${path}: no answer after ${limit} s`)), limit * 1000);
    const onClose = (error) => done(error instanceof Error ? error : new Error(`GET ${path}: closed in mid-answer`));
    const onData = (chunk) => {
      chunks.push(chunk);
      size += chunk.length;
      // Joining anew for every chunk of a large answer would be quadratic: with a length there is nothing to look at before its end.
      if (size < wanted) return;
      const buffer = Buffer.concat(chunks);
      const finish = answerEnd(buffer);
      if (finish >= 0) done(undefined, parse(buffer.subarray(0, finish)));
      else wanted ??= lengthOf(buffer);
    };
    socket.on('data', onData).on('close', onClose).on('error', onClose);
    socket.write(head(path, headers));
  });
}

/** Sends `message` `count` times, one after the other, each when `complete` has found the answer to the one before. Times in µs. */
function roundTrips(socket, message, count, complete) {
  return new Promise((resolve, reject) => {
    const times = new Float64Array(count);
    let done = 0;
    let began = 0n;
    let buffer;
    const timer = setTimeout(() => finish(new Error('round trips took longer than 60 s')), 60_000);
    const finish = (error) => {
      clearTimeout(timer);
      socket.off('data', onData).off('close', onClose).off('error', onClose);
      if (error) reject(error);
      else resolve(times);
    };
    const onClose = (error) => finish(error instanceof Error ? error : new Error('the connection was closed between two round trips'));
    const send = () => {
      began = process.hrtime.bigint();
      socket.write(message);
    };
    const onData = (chunk) => {
      buffer = buffer ? Buffer.concat([buffer, chunk]) : chunk;
      const used = complete(buffer);
      if (used < 0) return;
      times[done++] = Number(process.hrtime.bigint() - began) / 1000;
      buffer = used < buffer.length ? buffer.subarray(used) : undefined;
      if (done === count) finish();
      else send();
    };
    socket.on('data', onData).on('close', onClose).on('error', onClose);
    send();
  });
}

/** A kept-alive connection on which `path` is asked for again and again. */
export async function httpProbe(address, path) {
  const first = await get(address, path);
  if (first.status !== 200) throw new Error(`GET ${path} gave ${first.status}`);
  const socket = await connect(address);
  return { trips: (count) => roundTrips(socket, head(path, {}), count, answerEnd), end: () => socket.destroy() };
}

// A ping of 16 bytes, masked with zeros (RFC 6455, 5.3: masked it must be), and the pong that answers it.
const PING = Buffer.from([0x89, 0x90, 0, 0, 0, 0, ...Buffer.from('0123456789abcdef')]);
const PONG = Buffer.from([0x8a, 0x10, ...Buffer.from('0123456789abcdef')]);

/** A websocket to the engine. Pings are answered by the engine's own frame parser, without the editor's protocol above it. */
export async function pingProbe(address, path) {
  const socket = await connect(address);
  const token = [4, 2, 2, 2, 6].map((bytes) => randomBytes(bytes).toString('hex')).join('-');
  const answer = await getOn(socket, `${path}?reconnectionToken=${token}&reconnection=false&skipWebSocketFrames=false`, {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
  });
  if (answer.status !== 101) throw new Error(`the websocket was answered with ${answer.status}`);
  const complete = (buffer) => {
    const at = buffer.indexOf(PONG);
    return at < 0 ? -1 : at + PONG.length;
  };
  return { trips: (count) => roundTrips(socket, PING, count, complete), end: () => socket.destroy() };
}

// What an open editor says over its websockets: frames (RFC 6455, compressed as in RFC 7692), and in them the messages of VS Code's
// remote protocol. Facts: a message is a kind, its number, the number of the last one received, its size, then that many bytes.

import { randomBytes } from 'node:crypto';
import zlib from 'node:zlib';

export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** Kinds of messages; there are more, about pausing and replaying, which a client that never reconnects does not need. */
export const KIND = { regular: 1, control: 2, ack: 3, disconnect: 5, keepAlive: 9 };

const HEADER = 13;
/** What a decompressor has to remember of the messages before. */
const WINDOW = 32 << 10;
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);

/** Cuts bytes into pieces: `cut` gives how long the first piece of a buffer is, or 0 while it is not complete. */
function cutter(cut, onPiece) {
  let chunks = [];
  let size = 0;
  let needed = 1;
  return (chunk) => {
    chunks.push(chunk);
    size += chunk.length;
    // Joining for every chunk of a large message would be quadratic.
    if (size < needed) return;
    let buffer = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    for (;;) {
      const length = cut(buffer);
      needed = Math.max(length, 1);
      if (length === 0 || length > buffer.length) break;
      onPiece(buffer.subarray(0, length));
      buffer = buffer.subarray(length);
    }
    chunks = buffer.length > 0 ? [buffer] : [];
    size = buffer.length;
    if (needed <= size) needed = size + 1;
  };
}

function frameLength(buffer) {
  if (buffer.length < 2) return 0;
  const masked = buffer[1] & 0x80 ? 4 : 0;
  const short = buffer[1] & 0x7f;
  if (short < 126) return 2 + masked + short;
  if (short === 126) return buffer.length < 4 ? 0 : 4 + masked + buffer.readUInt16BE(2);
  return buffer.length < 10 ? 0 : 10 + masked + Number(buffer.readBigUInt64BE(2));
}

/** Takes bytes of one direction of a websocket, gives whole messages: `onMessage(opcode, payload)`. Knows compressed ones. */
export function websocketReader(onMessage) {
  let parts = [];
  let first;
  let window;
  return cutter(frameLength, (frame) => {
    const [begin, second] = frame;
    const opcode = begin & 0x0f;
    const short = second & 0x7f;
    let at = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0);
    let payload;
    if (second & 0x80) {
      const mask = frame.subarray(at, at + 4);
      at += 4;
      payload = Buffer.from(frame.subarray(at));
      for (let i = 0; i < payload.length; i++) payload[i] ^= mask[i & 3];
    } else {
      payload = frame.subarray(at);
    }
    if (opcode >= CLOSE) return onMessage(opcode, payload);
    if (opcode !== 0) first = { opcode, compressed: Boolean(begin & 0x40) };
    parts.push(payload);
    if (!(begin & 0x80)) return;
    let whole = parts.length === 1 ? parts[0] : Buffer.concat(parts);
    parts = [];
    if (first.compressed) {
      whole = zlib.inflateRawSync(Buffer.concat([whole, TAIL]), { finishFlush: zlib.constants.Z_SYNC_FLUSH, ...(window && { dictionary: window }) });
      window = whole.length >= WINDOW || !window ? whole.subarray(-WINDOW) : Buffer.concat([window, whole]).subarray(-WINDOW);
      window = Buffer.from(window);
      if (window.length === 0) window = undefined;
    }
    onMessage(first.opcode, whole);
  });
}

/** A client's frame: masked, as it must be. `compress`: as a browser does when the server has agreed. */
export function frame(opcode, payload, compress = false) {
  let rsv1 = 0;
  if (compress && opcode < CLOSE && payload.length > 16) {
    // Without what was sent before: that is always allowed, and needs no state.
    const deflated = zlib.deflateRawSync(payload, { finishFlush: zlib.constants.Z_SYNC_FLUSH, level: 1 });
    payload = deflated.subarray(0, deflated.length - TAIL.length);
    rsv1 = 0x40;
  }
  const long = payload.length < 126 ? 0 : payload.length < 65536 ? 2 : 8;
  const head = Buffer.alloc(2 + long + 4);
  head[0] = 0x80 | rsv1 | opcode;
  head[1] = 0x80 | (long === 0 ? payload.length : long === 2 ? 126 : 127);
  if (long === 2) head.writeUInt16BE(payload.length, 2);
  if (long === 8) head.writeBigUInt64BE(BigInt(payload.length), 2);
  const mask = randomBytes(4);
  mask.copy(head, 2 + long);
  const body = Buffer.from(payload);
  for (let i = 0; i < body.length; i++) body[i] ^= mask[i & 3];
  return Buffer.concat([head, body]);
}

/** Takes the payloads of binary messages, gives messages of the editor's protocol: `onMessage({kind, id, payload})`. */
export function protocolReader(onMessage) {
  const length = (buffer) => (buffer.length < HEADER ? 0 : HEADER + buffer.readUInt32BE(9));
  return cutter(length, (bytes) => onMessage({ kind: bytes[0], id: bytes.readUInt32BE(1), payload: bytes.subarray(HEADER) }));
}

export function protocolMessage(kind, id, ack, payload) {
  const head = Buffer.alloc(HEADER);
  head[0] = kind;
  head.writeUInt32BE(id, 1);
  head.writeUInt32BE(ack, 5);
  head.writeUInt32BE(payload.length, 9);
  return Buffer.concat([head, payload]);
}

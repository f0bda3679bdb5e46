// A relay between a real browser and a server that writes down what the browser says, for clients that say it again.

import http from 'node:http';
import net from 'node:net';
import { BINARY, KIND, protocolReader, websocketReader } from './frames.mjs';

/** What is written down: these carry content, the others are about delivery, and every client makes its own. */
const CONTENT = new Set([KIND.regular, KIND.control, KIND.disconnect]);

/** Headers of the connection, not of what is asked. */
const OF_CONNECTION = new Set(['host', 'connection', 'upgrade', 'sec-websocket-key', 'origin', 'content-length']);

/**
 * Listens on loopback and passes everything on to `address`, writing it down until `stop()`.
 *
 * What is written down: `steps`, in order, either `{request: {method, path, headers, body}}` or `{socket: {path, said, left}}`, where
 * `said` is what the browser sent while its page was open and `left` what it sent when it was closed, each message as
 * `{kind, payload, after, at}`: after how many of the server's, and at how many ms of the socket.
 */
export async function startRecorder(address) {
  const sockets = new Set();
  const steps = [];
  const own = (headers) => Object.fromEntries(Object.entries(headers).filter(([name]) => !OF_CONNECTION.has(name)));
  let phase = 'said';
  let lastWord = performance.now();
  const server = http.createServer((request, response) => {
    const chunks = [];
    const step = { request: { method: request.method, path: request.url, headers: own(request.headers) } };
    if (phase === 'said') steps.push(step);
    const forwarded = http.request({ ...address, method: request.method, path: request.url, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    forwarded.on('error', () => response.destroy());
    response.on('close', () => forwarded.destroy());
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => (step.request.body = Buffer.concat(chunks)));
    request.pipe(forwarded);
  });
  server.on('upgrade', (request, client, head) => {
    const began = performance.now();
    const step = { socket: { path: request.url, said: [], left: [] } };
    if (phase === 'said') steps.push(step);
    let heard = 0;
    const up = websocketReader((opcode, payload) => opcode === BINARY && upMessages(payload));
    const upMessages = protocolReader(({ kind, payload }) => {
      if (CONTENT.has(kind)) lastWord = performance.now();
      if (phase && CONTENT.has(kind)) step.socket[phase].push({ kind, payload: Buffer.from(payload), after: heard, at: performance.now() - began });
    });
    const down = websocketReader((opcode, payload) => opcode === BINARY && downMessages(payload));
    const downMessages = protocolReader(({ kind }) => (heard += CONTENT.has(kind) ? 1 : 0));
    const upstream = net.connect(address);
    const lines = [`${request.method} ${request.url} HTTP/1.1`];
    for (let i = 0; i < request.rawHeaders.length; i += 2) lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
    upstream.write(`${lines.join('\r\n')}\r\n\r\n`);
    upstream.write(head);
    let switched = false;
    let answer = Buffer.alloc(0);
    upstream.on('data', (chunk) => {
      client.write(chunk);
      if (switched) return down(chunk);
      answer = Buffer.concat([answer, chunk]);
      const end = answer.indexOf('\r\n\r\n');
      if (end < 0) return;
      switched = true;
      down(answer.subarray(end + 4));
    });
    client.on('data', (chunk) => {
      upstream.write(chunk);
      up(chunk);
    });
    for (const [one, other] of [[client, upstream], [upstream, client]]) {
      sockets.add(one);
      one.setNoDelay(true);
      one.on('end', () => other.end());
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    steps,
    /** How long the browser has said nothing, in ms. */
    silence: () => performance.now() - lastWord,
    /** The page is about to be closed. */
    leaving: () => (phase = 'left'),
    /** Passes on from here on, no more. */
    stop: () => (phase = undefined),
    end: () => {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

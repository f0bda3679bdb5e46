// A dev server that shows what comes through proxies: a page with a websocket that is echoed, and an upload that is counted while it
// arrives. `server.mjs PORT`.

import crypto from 'node:crypto';
import http from 'node:http';

let seen = 0;
const page = `<!DOCTYPE html><title>upload</title><link rel="icon" href="data:,"><h1>Hello from the dock</h1><p id="said"></p>
<script>
  const socket = new WebSocket(new URL('echo', location).href.replace('http', 'ws'));
  socket.onopen = () => socket.send('ahoy');
  socket.onmessage = ({ data }) => (document.getElementById('said').textContent = data + ' to you');
</script>`;

const server = http.createServer((request, response) => {
  if (request.method === 'POST') {
    seen = 0;
    request.on('data', (piece) => (seen += piece.length));
    request.on('end', () => response.end(String(seen)));
  } else if (request.url === '/seen') {
    response.end(String(seen));
  } else if (request.url === '/headers') {
    response.end(JSON.stringify(request.headers));
  } else {
    response.writeHead(200, { 'content-type': 'text/html' }).end(page);
  }
});

server.on('upgrade', (request, socket) => {
  const accept = crypto.createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  socket.on('error', () => {});
  // The one short text that the page sends, in one masked frame (RFC 6455, section 5.2).
  socket.once('data', (frame) => {
    const length = frame[1] & 127;
    const text = frame.subarray(6, 6 + length).map((byte, i) => byte ^ frame[2 + (i % 4)]);
    socket.write(Buffer.concat([Buffer.from([0x81, length]), text]));
  });
});

server.listen(Number(process.argv[2]), '127.0.0.1');

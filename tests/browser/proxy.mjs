// A reverse proxy that strips a prefix, as nginx with `location /code/ { proxy_pass http://…/; }` does.

import http from 'node:http';

const PREFIX = '/code';

/** Starts the proxy; `Host` is passed on as it came, and everything outside of the prefix is 404 and noted. */
export async function reverseProxy(t, port) {
  const strays = [];
  const upstream = (request) => ({ host: '127.0.0.1', port, method: request.method, path: request.url.slice(PREFIX.length), headers: request.headers });
  const server = http.createServer((request, response) => {
    if (!request.url.startsWith(`${PREFIX}/`)) {
      strays.push(request.url);
      return response.writeHead(404).end();
    }
    const forwarded = http.request(upstream(request), (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    forwarded.on('error', () => response.destroy());
    response.on('close', () => forwarded.destroy());
    request.pipe(forwarded);
  });
  server.on('upgrade', (request, socket, head) => {
    const forwarded = http.request(upstream(request));
    forwarded.on('upgrade', (answer, other, otherHead) => {
      const lines = [`HTTP/1.1 101 ${answer.statusMessage}`];
      for (let i = 0; i < answer.rawHeaders.length; i += 2) lines.push(`${answer.rawHeaders[i]}: ${answer.rawHeaders[i + 1]}`);
      socket.write(`${lines.join('\r\n')}\r\n\r\n`);
      socket.write(otherHead);
      other.write(head);
      socket.pipe(other).pipe(socket);
      socket.on('error', () => other.destroy()).on('close', () => other.destroy());
      other.on('error', () => socket.destroy()).on('close', () => socket.destroy());
    });
    forwarded.on('response', () => socket.destroy());
    forwarded.on('error', () => socket.destroy());
    forwarded.end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}${PREFIX}/`, strays };
}

// What routers of Node make of request targets, each on a server of its own that answers with the pattern, or nothing.
// Prints the ports by reader. `urls` answers with the paths that Node's two parsers of URLs read, as JSON.
'use strict';

const http = require('http');
const legacy = require('url');
const fastify = require('fastify');

const PATTERNS = JSON.parse(process.argv[2]);

function expressed(version) {
  const app = require(`express${version}`)();
  PATTERNS.forEach((pattern) => app.get(pattern, (req, res) => res.end(pattern)));
  app.use((req, res) => res.end());
  // eslint-disable-next-line no-unused-vars -- Express knows an error handler by its four arguments
  app.use((error, req, res, next) => res.end());
  return http.createServer(app);
}

function fastened(routerOptions) {
  const app = fastify({ routerOptions, frameworkErrors: (error, req, reply) => reply.send('') });
  PATTERNS.forEach((pattern) => app.get(pattern, (req, reply) => reply.send(pattern)));
  app.setNotFoundHandler((req, reply) => reply.send(''));
  return app.ready().then(() => app.server);
}

function path(read) {
  try {
    return read();
  } catch {
    return null; // no URL to this parser
  }
}

function urls(req, res) {
  const found = [
    path(() => new URL(req.url, 'http://gateway.test').pathname),
    path(() => new URL(`http://gateway.test${req.url}`).pathname),
    path(() => legacy.parse(req.url).pathname),
    path(() => legacy.parse(req.url, false, true).pathname),
  ];
  res.end(JSON.stringify(found.filter((one) => one !== null)));
}

async function main() {
  const lax = { ignoreDuplicateSlashes: true, ignoreTrailingSlash: true, caseSensitive: false, useSemicolonDelimiter: true };
  const servers = {
    urls: http.createServer(urls),
    'Express 4': expressed('4'),
    'Express 5': expressed('5'),
    Fastify: await fastened({}),
    'Fastify, either case': await fastened({ caseSensitive: false, ignoreTrailingSlash: true }),
    'Fastify, generous': await fastened(lax),
  };
  const ports = {};
  for (const [name, server] of Object.entries(servers)) {
    server.keepAliveTimeout = 60_000;
    await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
    ports[name] = server.address().port;
  }
  console.log(JSON.stringify(ports));
}

main();
process.stdin.on('end', () => process.exit(0)).resume(); // whoever started this has gone

// Express 4 and Express 5 behind one port, each set up plainly and as generously as people do. They answer with what
// they understood of a request. `X-App` chooses one of them: 4-plain, 4-lax, 5-plain, 5-lax.
'use strict';

const http = require('http');
const methodOverride = require('method-override');

const PATTERNS = [
  '/api/strategies',
  '/api/strategies/:id',
  '/api/simulate',
  '/api/value',
  '/api/nested',
  '/api/funds/:fundId/companies',
];
const OVERRIDES = ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override'];

const seen = new Map(); // request id → what was understood, each time it came

function note(req, endpoint) {
  let body = req.body === undefined ? {} : req.body;
  if (typeof body === 'string') {
    try {
      body = JSON.parse(body); // what a handler that took text would do with it
    } catch {
      // it stays text
    }
  }
  if (body !== null && Array.isArray(body.x)) {
    body = { ...body, x: JSON.stringify(body.x) }; // it may be nested deeper than the tests can read
  }
  const understood = {
    app: req.headers['x-app'],
    relayed: req.headers.via !== undefined,
    endpoint,
    method: req.method,
    params: { ...req.params },
    query: req.query,
    body,
  };
  const id = req.headers['x-request-id'];
  seen.set(id, [...(seen.get(id) || []), understood]);
  return understood;
}

function application(express, lax) {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  if (lax) {
    app.set('query parser', 'extended');
    OVERRIDES.forEach((name) => app.use(methodOverride(name, { methods: null })));
    app.use(express.json({ type: () => true, strict: false }));
  } else {
    app.use(express.json());
    app.use(express.urlencoded({ extended: true }));
    app.use(express.text({ type: ['text/*', 'application/xml'] }));
  }
  for (const pattern of PATTERNS) {
    app.all(pattern, (req, res) => res.json(note(req, pattern)));
  }
  app.use((req, res) => res.status(404).json(note(req, null)));
  // eslint-disable-next-line no-unused-vars -- Express knows an error handler by its four arguments
  app.use((error, req, res, next) => res.status(error.status || 500).json({ error: String(error.type) }));
  return app;
}

const apps = {};
for (const version of ['4', '5']) {
  const express = require(`express${version}`);
  apps[`${version}-plain`] = application(express, false);
  apps[`${version}-lax`] = application(express, true);
}

const server = http.createServer((req, res) => {
  const asked = req.headers['x-seen'];
  if (asked !== undefined) {
    const found = seen.get(asked) || [];
    seen.delete(asked);
    res.end(JSON.stringify(found));
    return;
  }
  const app = apps[req.headers['x-app']];
  if (app === undefined) {
    res.writeHead(500).end();
  } else {
    app(req, res);
  }
});

server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit(0)).resume(); // whoever started this has gone

// The plain peer in Node: a proxy that collects and parses each body. Arguments: own port, upstream's port.
"use strict";

const http = require("node:http");

const [port, upstream] = process.argv.slice(2).map(Number);
const canonical = new Set(["pre-seed", "seed", "series-a", "series-b", "series-c", "series-c+"]);
const agent = new http.Agent({ keepAlive: true });

http
  .createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      const headers = { ...request.headers };
      if (body.length > 0) {
        const entries = JSON.parse(body.toString()).stageDistribution;
        headers["x-bad"] = String(entries.filter((entry) => !canonical.has(entry.stage)).length);
      }
      const target = { host: "127.0.0.1", port: upstream, method: request.method, path: request.url, headers, agent };
      const forwarded = http.request(target, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      forwarded.end(body);
    });
  })
  .listen(port, "127.0.0.1");

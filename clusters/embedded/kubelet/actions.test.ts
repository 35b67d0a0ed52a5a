import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import { after, test } from "node:test";
import { type ActionTarget, runAction } from "./actions.ts";

const forever = new AbortController().signal;

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  after(() => server.close());
  return (server.address() as AddressInfo).port;
}

function targetAt(port: number): ActionTarget {
  return {
    podIp: "127.0.0.1",
    container: { name: "c", ports: [{ name: "web", containerPort: port }] },
    enter: (command) => command,
  };
}

test("httpGet succeeds from 200 to 399, with the declared path and headers", async () => {
  const seen: string[] = [];
  const port = await listen(
    createServer((request, response) => {
      seen.push(
        `${request.url} ${request.headers.host} ${String(request.headers["x-a"])} ${request.headers["user-agent"]}`,
      );
      response.statusCode = Number(request.url?.slice(1));
      response.end();
    }),
  );
  const ask = async (status: number): Promise<boolean> => {
    const httpHeaders = [
      { name: "Host", value: "app" },
      { name: "X-A", value: "1" },
      { name: "x-a", value: "2" },
    ];
    return (
      await runAction({ httpGet: { port: "web", path: `/${status}`, httpHeaders } }, targetAt(port), 1000, forever)
    ).ok;
  };
  assert.deepEqual(await Promise.all([200, 302, 399, 400, 503].map(ask)), [true, true, true, false, false]);
  assert.ok(seen.includes("/200 app 1, 2 kube-probe/1.36"));
});

test("a silent server is a failure once the time is over", async () => {
  const port = await listen(createServer(() => undefined));
  const { ok, message } = await runAction({ httpGet: { port } }, targetAt(port), 30, forever);
  assert.deepEqual([ok, message], [false, "timed out after 0.03s"]);
});

test("tcpSocket needs a listening process", async () => {
  const server = createServer();
  const port = await listen(server);
  assert.equal((await runAction({ tcpSocket: { port } }, targetAt(port), 1000, forever)).ok, true);
  await new Promise((resolve) => server.close(resolve));
  const { ok, message } = await runAction({ tcpSocket: { port } }, targetAt(port), 1000, forever);
  assert.equal(ok, false);
  assert.match(message, /ECONNREFUSED/);
});

test("exec succeeds with exit code 0, and returns its output", async () => {
  const run = (script: string) => runAction({ exec: { command: ["sh", "-c", script] } }, targetAt(1), 5000, forever);
  assert.equal((await run("true")).ok, true);
  assert.deepEqual(await run("echo not yet >&2; exit 2"), { ok: false, message: "not yet" });
  assert.equal((await run("exit 7")).message, "command exited with 7");
});

test("grpc asks the health service for the declared name", async () => {
  const server = createHttp2Server();
  server.on("stream", (stream) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      const good = Buffer.concat(chunks).subarray(5).toString().endsWith("good");
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, good ? 1 : 2]));
    });
  });
  const port = await listen(server);
  const ask = (service: string) => runAction({ grpc: { port, service } }, targetAt(port), 2000, forever);
  assert.equal((await ask("good")).ok, true);
  assert.equal((await ask("bad")).ok, false);
});

test("an unknown port name is a failure with its name", async () => {
  const { ok, message } = await runAction({ httpGet: { port: "nope" } }, targetAt(1), 1000, forever);
  assert.deepEqual([ok, message], [false, "couldn't find port: nope"]);
});

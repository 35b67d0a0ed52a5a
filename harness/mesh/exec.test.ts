import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import type { Kube } from "./client.ts";
import { statusOf } from "./api-error.ts";
import { followLog } from "./exec.ts";

const WHERE = { namespace: "foo", pod: "httpbin-1", container: "istio-proxy" };

async function serve(
  t: TestContext,
  answer: (incoming: IncomingMessage, response: ServerResponse) => void,
): Promise<Kube> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => (server.closeAllConnections(), server.close()));
  const { port } = server.address() as AddressInfo;
  const config = {
    getCurrentCluster: () => ({ server: `http://127.0.0.1:${port}` }),
    applyToHTTPSOptions: () => Promise.resolve(),
  };
  return { config } as unknown as Kube;
}

const signal = new AbortController().signal;

test("a log is followed to its end", async (t) => {
  const asked: string[] = [];
  const kube = await serve(t, ({ url }, response) => {
    asked.push(url ?? "");
    response.write("one\n");
    response.end("two\n");
  });
  const chunks: Buffer[] = [];
  await followLog(kube, WHERE, { sinceSeconds: 10, signal }, (chunk) => chunks.push(chunk));
  assert.equal(Buffer.concat(chunks).toString(), "one\ntwo\n");
  assert.deepEqual(asked, [
    "/api/v1/namespaces/foo/pods/httpbin-1/log?container=istio-proxy&follow=true&sinceSeconds=10",
  ]);
});

test("a log request that the server rejects is an error with its status, and its body is not taken for the log", async (t) => {
  const kube = await serve(t, (_, response) => {
    response.statusCode = 404;
    response.end(JSON.stringify({ message: "not found" }));
  });
  const take = (): never => assert.fail("a response that is not the log");
  await assert.rejects(followLog(kube, WHERE, { sinceSeconds: 10, signal }, take), (error) => statusOf(error) === 404);
});

test("a connection that breaks in the middle is an error of this call, and stopping ends it", async (t) => {
  const kube = await serve(t, (_, response) => {
    response.write("one\n");
    setImmediate(() => response.destroy());
  });
  await assert.rejects(followLog(kube, WHERE, { sinceSeconds: 10, signal }, () => undefined));
  const stop = new AbortController();
  const endless = await serve(t, (_, response) => void response.write("one\n"));
  await assert.rejects(followLog(endless, WHERE, { sinceSeconds: 10, signal: stop.signal }, () => stop.abort()));
});

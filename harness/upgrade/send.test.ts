import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { curlConfig, readAnswer } from "./send.ts";

test("curl numbers its requests, sends their headers, and writes a line for each", async () => {
  const seen: (string | undefined)[] = [];
  const server = createServer(({ url, headers }, response) => {
    seen.push(`${url} ${headers["x-quote"] as string} ${headers.connection}`);
    const upstream = seen.length === 2 ? {} : { "x-envoy-upstream-service-time": "3" };
    response.writeHead(seen.length === 2 ? 403 : 200, upstream).end("body");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/x`;
  const request = { name: "x", expected: 200, perSecond: 50, url, headers: [["X-Quote", 'a "b" \\c']] as const };
  const curl = spawn("curl", ["--config", "-"], { stdio: ["pipe", "ignore", "pipe"] });
  curl.stdin.end(curlConfig(request, 3));
  const lines = (await text(curl.stderr)).trim().split("\n");
  server.close();
  const at = (number: number): string => `/x?n=${number} a "b" \\c close`;
  assert.deepEqual(seen, [at(0), at(1), at(2)]);
  assert.deepEqual(
    lines.map((line, index) => readAnswer(line, index, 1000)).map((answer) => [answer?.status, answer?.by]),
    [
      [200, "workload"],
      [403, "proxy"],
      [200, "workload"],
    ],
  );
});

test("a line of another request than the next is noticed, and a lost request keeps curl's error", () => {
  const line = "http://h/x?n=7 000 2.001 up= Operation timed out after 2001 milliseconds";
  assert.equal(readAnswer(line, 6, 5000), undefined);
  assert.equal(readAnswer("curl: garbage", 0, 5000), undefined);
  const error = "Operation timed out after 2001 milliseconds";
  assert.deepEqual(readAnswer(line, 7, 5000), { atMs: 2999, status: 0, by: "nobody", totalMs: 2001, error });
});

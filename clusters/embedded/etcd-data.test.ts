import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, open, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { copyData, makeShareable } from "./etcd-data.ts";

const MEBIBYTE = 1 << 20;

describe("a copy of etcd's data", () => {
  test("has the same bytes, keeps holes, and leaves out what is only allocated", async () => {
    const folder = await mkdtemp(join(tmpdir(), "etcd-"));
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    await mkdir(join(from, "member/wal"), { recursive: true });
    await writeFile(join(from, "member/wal/1.tmp"), "next");
    const log = await open(join(from, "member/wal/0.wal"), "w");
    await log.write("first");
    await log.write("far", 3 * MEBIBYTE + 17);
    await log.truncate(8 * MEBIBYTE + 5);
    await log.close();

    await copyData(from, to);

    assert.deepEqual(await readdir(join(to, "member/wal")), ["0.wal"]);
    const [source, copy] = [join(from, "member/wal/0.wal"), join(to, "member/wal/0.wal")];
    assert.ok((await readFile(copy)).equals(await readFile(source)));
    assert.ok((await stat(copy)).blocks * 512 <= 3 * MEBIBYTE, "the zeros take no room");
    assert.equal((await stat(to)).mode & 0o777, 0o700);
  });
});

/** An etcd that counts `count` Secrets; its calls, with keys as text. */
async function etcdWith(count: string | undefined): Promise<{ socket: string; calls: string[]; close: () => void }> {
  const calls: string[] = [];
  const decode = (key: unknown): string => Buffer.from(String(key), "base64").toString();
  const server = createServer((request, response) => {
    void (async () => {
      let text = "";
      for await (const part of request) text += String(part);
      const { key, range_end: end, revision } = JSON.parse(text) as Record<string, string>;
      calls.push(
        [request.url, ...[key, end].filter((one) => one !== undefined).map(decode), revision].filter(Boolean).join(" "),
      );
      const isSecrets = key !== undefined && decode(key).includes("secrets");
      response.end(JSON.stringify({ header: { revision: `${calls.length}` }, ...(isSecrets && count && { count }) }));
    })();
  });
  const socket = join(await mkdtemp(join(tmpdir(), "etcd-")), "etcd");
  server.listen(socket);
  await once(server, "listening");
  return { socket, calls, close: () => server.close() };
}

describe("data for several clusters", () => {
  test("loses what each cluster has for itself, and then its history", async () => {
    const { socket, calls, close } = await etcdWith(undefined);
    await makeShareable(socket);
    close();
    assert.deepEqual(calls, [
      "/v3/kv/range /registry/secrets/ /registry/secrets0",
      "/v3/kv/range /registry/pods/ /registry/pods0",
      "/v3/kv/deleterange /registry/namespaces/kube-system",
      "/v3/kv/deleterange /registry/configmaps/kube-system/extension-apiserver-authentication",
      "/v3/kv/deleterange /registry/leases/ /registry/leases0",
      "/v3/kv/deleterange /registry/masterleases/ /registry/masterleases0",
      "/v3/kv/deleterange /registry/events/ /registry/events0",
      "/v3/kv/compaction 7",
      "/v3/maintenance/defragment",
    ]);
  });

  test("is refused while it has a Secret", async () => {
    const { socket, calls, close } = await etcdWith("1");
    await assert.rejects(makeShareable(socket), /1 keys in \/registry\/secrets\//);
    close();
    assert.equal(calls.length, 1);
  });
});

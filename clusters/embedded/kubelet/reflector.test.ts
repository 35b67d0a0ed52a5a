import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, type KubeObject, type WatchEvent } from "./api.ts";
import { reflect } from "./reflector.ts";

function object(name: string, uid: string, resourceVersion = "1"): KubeObject {
  return { metadata: { namespace: "foo", name, uid, resourceVersion } };
}

/** An API server whose lists and watches are played one after the other; the last watch stays open. */
function play(rounds: { list?: KubeObject[]; watch?: (WatchEvent | Error)[] }[], stop: AbortController) {
  const paths: string[] = [];
  let round = 0;
  return {
    paths,
    get: <T>(path: string): Promise<T> => {
      paths.push(path);
      const items = rounds[round]?.list;
      return items
        ? Promise.resolve({ metadata: { resourceVersion: "10" }, items } as T)
        : Promise.reject(new Error("away"));
    },
    watch: async (path: string, onEvent: (event: WatchEvent) => void): Promise<void> => {
      paths.push(path);
      const events = rounds[round++]?.watch;
      if (!events) {
        stop.abort();
        return;
      }
      for (const event of events) {
        if (event instanceof Error) throw event;
        await Promise.resolve();
        onEvent(event);
      }
    },
  };
}

test("keeps the cache current through watches, a broken one and a new list", async () => {
  const stop = new AbortController();
  const seen: string[] = [];
  const trouble: string[] = [];
  const api = play(
    [
      {
        list: [object("a", "1"), object("b", "2")],
        watch: [
          { type: "MODIFIED", object: object("a", "1", "11") },
          { type: "BOOKMARK", object: { metadata: { resourceVersion: "15" } } },
        ],
      },
      { watch: [{ type: "ERROR", object: { code: 410, message: "too old" } }] },
      // In the meantime b was deleted, and a was created again with the same name.
      { list: [object("a", "3", "20")], watch: [{ type: "DELETED", object: object("a", "3", "21") }] },
      {},
    ],
    stop,
  );
  const ended = new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
  const cache = await reflect(
    api,
    "/api/v1/things",
    "",
    {
      onObject: ({ metadata }) => seen.push(`${metadata?.name} ${metadata?.uid}`),
      onGone: ({ metadata }) => seen.push(`${metadata?.name} ${metadata?.uid} gone`),
      onTrouble: (error) => trouble.push(error instanceof ApiError ? `${error.status}` : error.message),
    },
    stop.signal,
  );
  assert.equal(cache.get("foo", "b")?.metadata?.uid, "2");
  await ended;
  assert.deepEqual(seen, ["a 1", "b 2", "a 1", "a 1 gone", "b 2 gone", "a 3", "a 3 gone"]);
  assert.deepEqual(trouble, ["410"]);
  assert.deepEqual([...cache.values()], []);
  assert.match(api.paths[2] ?? "", /resourceVersion=15$/);
});

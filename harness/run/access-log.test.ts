import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiException } from "@kubernetes/client-node";
import { openAccessLog, type AccessLog, type Follow } from "./access-log.ts";
import type { Proxy } from "./places.ts";

const proxy = (pod: string): Proxy => ({
  namespace: "foo",
  pod,
  ip: "",
  labels: {},
  kind: "sidecar",
  serviceAccount: "default",
});
const [ONE, TWO] = [proxy("httpbin-1"), proxy("httpbin-2")];

const line = (userAgent: string, details: string): string =>
  `${JSON.stringify({ user_agent: userAgent, response_code_details: details })}\n`;

/** A log that a test writes into, opened anew each time it ends. */
interface Written {
  write(text: string): void;
  /** Ends it, in order or with an error. */
  end(error?: Error): void;
}

function open(t: { after: (end: () => void) => void }): {
  log: AccessLog;
  /** What the proxy's log was opened as, once it is. */
  opened: (pod: string) => Promise<Written>;
  sinceSeconds: number[];
} {
  const waiting = new Map<string, Written[]>();
  const asked = new Map<string, ((written: Written) => void)[]>();
  const sinceSeconds: number[] = [];
  const follow: Follow = async ({ pod }, options, onChunk) => {
    sinceSeconds.push(options.sinceSeconds);
    await new Promise<void>((resolve, reject) => {
      options.signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true });
      options.onOpen();
      const written: Written = {
        write: (text) => onChunk(Buffer.from(text)),
        end: (error) => (error ? reject(error) : resolve()),
      };
      const taker = asked.get(pod)?.shift();
      if (taker) taker(written);
      else waiting.set(pod, [...(waiting.get(pod) ?? []), written]);
    });
  };
  const log = openAccessLog("run", follow);
  t.after(() => log.close());
  const opened = (pod: string): Promise<Written> => {
    const ready = waiting.get(pod)?.shift();
    if (ready) return Promise.resolve(ready);
    return new Promise((resolve) => asked.set(pod, [...(asked.get(pod) ?? []), resolve]));
  };
  return { log, opened, sinceSeconds };
}

test("the line of a request is found in whichever log it is, in pieces and between other lines", async (t) => {
  const { log, opened } = open(t);
  log.follow([ONE, TWO]);
  const [one, two] = await Promise.all([opened("httpbin-1"), opened("httpbin-2")]);
  log.expect("meshproof/run/a/b/1.1/3", [ONE, TWO]);
  assert.deepEqual(log.find("meshproof/run/a/b/1.1/3"), {
    missing: [{ kind: "no-line", proxies: ["httpbin-1", "httpbin-2"].map((pod) => ({ namespace: "foo", pod })) }],
  });
  const waited = log.wait(["meshproof/run/a/b/1.1/3"], 60_000);
  one.write(`${line("meshproof/other/a/b/1.1/3", "no")}{"not json\n${line("curl/8", "no")}`);
  const text = line("meshproof/run/a/b/1.1/3", "rbac_access_denied_matched_policy[ü]");
  const bytes = Buffer.from(text);
  two.write(bytes.subarray(0, 60).toString());
  two.write(bytes.subarray(60).toString());
  await waited;
  assert.deepEqual(log.find("meshproof/run/a/b/1.1/3"), { details: "rbac_access_denied_matched_policy[ü]" });
});

test("a log that ends is opened again, from before it ended, and what came before is kept", async (t) => {
  const { log, opened, sinceSeconds } = open(t);
  log.follow([ONE]);
  log.expect("meshproof/run/a/b/1.1/3", [ONE]);
  log.expect("meshproof/run/a/b/1.2/3", [ONE]);
  const first = await opened("httpbin-1");
  first.write(line("meshproof/run/a/b/1.1/3", "first"));
  first.end();
  const second = await opened("httpbin-1");
  second.end(new Error("read ECONNRESET"));
  (await opened("httpbin-1")).write(line("meshproof/run/a/b/1.2/3", "third"));
  assert.deepEqual(
    ["1", "2"].map((n) => log.find(`meshproof/run/a/b/1.${n}/3`)),
    [{ details: "first" }, { details: "third" }],
  );
  assert.ok(
    sinceSeconds.every((seconds) => Number.isInteger(seconds) && seconds >= 10),
    String(sinceSeconds),
  );
});

test("a pod that is gone keeps its lines; what it did not write is missing, with the reason, and is not waited for", async (t) => {
  const { log, opened } = open(t);
  log.follow([ONE, TWO]);
  for (const n of [1, 2]) log.expect(`meshproof/run/a/b/1.${n}/3`, [ONE]);
  const one = await opened("httpbin-1");
  one.write(line("meshproof/run/a/b/1.1/3", "d"));
  one.end(new ApiException(404, "log", JSON.stringify({ message: 'pods "httpbin-1" not found' }), {}));
  await log.wait(["meshproof/run/a/b/1.2/3"], 2 ** 31 - 1);
  assert.deepEqual(log.find("meshproof/run/a/b/1.1/3"), { details: "d" });
  assert.deepEqual(log.find("meshproof/run/a/b/1.2/3"), {
    missing: [
      { kind: "unreadable", proxy: { namespace: "foo", pod: "httpbin-1" }, error: 'pods "httpbin-1" not found' },
    ],
  });
  // The other proxy's are read on.
  log.expect("meshproof/run/a/b/1.4/3", [TWO]);
  (await opened("httpbin-2")).write(line("meshproof/run/a/b/1.4/3", "e"));
  assert.deepEqual(log.find("meshproof/run/a/b/1.4/3"), { details: "e" });
  // A pod of the same name (a StatefulSet's) is followed anew.
  log.follow([ONE]);
  (await opened("httpbin-1")).write(line("meshproof/run/a/b/1.2/3", "late"));
  assert.deepEqual(log.find("meshproof/run/a/b/1.2/3"), { details: "late" });
});

test("the limit ends a wait; a target without a sidecar is not waited for", async (t) => {
  const { log } = open(t);
  log.follow([ONE]);
  log.expect("meshproof/run/a/b/1.1/3", [ONE]);
  await log.wait(["meshproof/run/a/b/1.1/3"], 5);
  log.expect("meshproof/run/a/b/1.2/3", []);
  await log.wait(["meshproof/run/a/b/1.2/3", "meshproof/run/never/sent"], 2 ** 31 - 1);
  assert.match(JSON.stringify(log.find("meshproof/run/a/b/1.2/3")), /"no-proxy"/);
});

test("flush rounds are not kept, and what is dropped is forgotten", async (t) => {
  const { log, opened } = open(t);
  log.follow([ONE]);
  for (const agent of ["a/b/1.1/0", "a/b/1.1/3", "a/c/1.1/3"]) log.expect(`meshproof/run/${agent}`, [ONE]);
  const one = await opened("httpbin-1");
  for (const agent of ["a/b/1.1/0", "a/b/1.1/3", "a/c/1.1/3"]) one.write(line(`meshproof/run/${agent}`, "d"));
  log.drop("meshproof/run/a/b/");
  const found = ["a/b/1.1/0", "a/b/1.1/3", "a/c/1.1/3"].map((agent) => "details" in log.find(`meshproof/run/${agent}`));
  assert.deepEqual(found, [false, false, true]);
});

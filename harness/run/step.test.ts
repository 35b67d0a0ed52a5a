import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ApiException } from "@kubernetes/client-node";
import type { Manifest } from "../mesh/client.ts";
import type { CheckSpec, Scenario, StepSpec } from "../model/scenario.ts";
import { parseManifest } from "../scenario/index.ts";
import { readProxyConfig } from "../verdict/proxy-config.ts";
import type { Applied } from "./changes.ts";
import type { Proxy, Target } from "./places.ts";
import { checkOf, fakeCurl, fakeKube, fakeSession, HTTPBIN, position, SLEEP } from "./session.fixture.ts";
import type { Session } from "./session.ts";
import { runStep, type TokenClock } from "./step.ts";

const DENY = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: deny, namespace: "\${ns}" }
spec: { selector: { matchLabels: { app: httpbin } } }
`;
const RULE = "ns[foo]-policy[deny]-rule[0]";

interface Faked {
  /** Status of each request; by default 200. */
  readonly answer?: (url: string) => number;
  /** Rules that the proxies have before the step's own. */
  readonly rules?: readonly string[];
  /** Whether the proxies never get a new config. */
  readonly stuck?: boolean;
  readonly target?: Partial<Target>;
  readonly parts?: Partial<Session>;
}

/** A mesh that takes every change at once; `done` has what was done to it, in order. */
function meshOf({ answer = () => 200, rules = [], stuck = false, target = {}, parts = {} }: Faked = {}) {
  const done: string[] = [];
  const there: Manifest[] = [];
  const { curl } = fakeCurl(({ url, userAgent }) => {
    done.push(`ask ${url} as ${userAgent}`);
    return answer(url);
  });
  const objects = {
    apply(manifest: Manifest) {
      done.push(`apply ${manifest.kind} ${manifest.metadata.name}`);
      there.push(manifest);
      return Promise.resolve({ ...manifest, metadata: { ...manifest.metadata, uid: "u" } });
    },
    read: () => Promise.reject(new ApiException(404, "", "", {})),
    removeExactly: ({ name }: { name: string }) => Promise.resolve(done.push(`remove ${name}`)),
    list: () => Promise.resolve({ items: [] }),
  };
  const proxyConfig = (_: Proxy, nonce: string) => {
    const own = there.some(({ metadata: { name } }) => name === "deny") ? [RULE] : [];
    const marker = { principals: `meshproof.invalid/ns/marker/sa/${nonce}` };
    const filter = {
      "@type": "x.rbac.v3.RBAC",
      rules: { policies: Object.fromEntries([...rules, ...own].map((rule) => [rule, {}])) },
      shadow_rules: { policies: { "ns[foo]-policy[meshproof-marker]-rule[0]": marker } },
    };
    const dump = { configs: [{ name: "virtualInbound", active_state: { listener: [filter] } }] };
    return Promise.resolve(stuck ? undefined : readProxyConfig(dump));
  };
  const session = fakeSession({
    ...{ curl, proxyConfig, kube: fakeKube({ objects }) },
    place: () => Promise.resolve(SLEEP),
    target: () => Promise.resolve({ ...HTTPBIN, ...target }),
    ...parts,
  });
  return { session, done, there };
}

const stepOf = (checks: readonly CheckSpec[], parts: Partial<StepSpec> = {}): StepSpec => ({
  ...{ name: "s", position, apply: [], delete: [], checks, matrices: [], asked: [] },
  ...parts,
});
const scenarioOf = (...steps: StepSpec[]): Scenario =>
  ({ id: "a/b", features: [], tokens: {}, steps }) as unknown as Scenario;
const denying = { apply: [parseManifest(DENY, "deny.yaml")] };
const asks = (done: readonly string[]): string[] => done.filter((each) => each.startsWith("ask"));

describe("a step", () => {
  it("sends its requests so long after the scenario's tokens were made, with these tokens", async () => {
    const seconds: (number | undefined)[] = [];
    const tokens = {
      ...fakeSession({}).tokens,
      mint: (_: unknown, __: unknown, second?: number) => {
        seconds.push(second);
        return Promise.resolve({ compact: "a.b.c", words: "" });
      },
    };
    const { session, done } = meshOf({ parts: { tokens } });
    const check = { ...checkOf("/a"), token: "t" };
    const scenario = { ...scenarioOf(stepOf([check]), stepOf([check], { at: 2 })), tokens: { t: { issuer: "corp" } } };
    const clock: TokenClock = {};
    const first = await runStep(session, scenario, 0, new Map(), { clock });
    assert.equal(first.timing.waitMs, undefined);
    done.length = 0;
    const second = await runStep(session, scenario, 1, new Map(), { clock });
    assert.equal(second.status, "passed");
    assert.ok(asks(done).length > 0);
    assert.ok(performance.now() >= clock.made!.at + 2000);
    assert.ok(second.timing.waitMs !== undefined && second.timing.probeMs <= second.timing.totalMs);
    assert.deepEqual(seconds, [clock.made!.second, clock.made!.second]);
  });

  it("fails where its answers are wrong until then, and is not called late", async () => {
    const { session } = meshOf({ answer: () => 403, parts: { plan: { ...fakeSession({}).plan, limitMs: 60_000 } } });
    const scenario = scenarioOf(stepOf([checkOf("/a")], { until: 3 }));
    assert.equal((await runStep(session, scenario, 0, new Map(), { clock: {} })).status, "failed");
  });

  it("is an error where its answers came too late to prove what it says", async () => {
    const { session } = meshOf();
    const scenario = scenarioOf(stepOf([checkOf("/a")], { until: 5 }));
    const late: TokenClock = { made: { second: 0, at: performance.now() - 6000 } };
    const found = await runStep(session, scenario, 0, new Map(), { clock: late });
    assert.equal(found.status, "error");
    assert.deepEqual(found.checks, []);
    assert.match(found.reason ?? "", /final \d+\.\d+ s after the tokens were made, and the step needs them within 5 s/);
    assert.equal((await runStep(session, scenario, 0, new Map(), { clock: {} })).status, "passed");
  });

  it("removes what the scenario before left, applies its own, waits for it, and asks last", async () => {
    const left = new Map([["old", parseManifest(DENY.replaceAll("deny", "old"), "old.yaml").objects[0]!.object]]);
    const { session, done } = meshOf({ parts: { left } });
    const applied: Applied = new Map();
    const found = await runStep(session, scenarioOf(stepOf([checkOf("/a")], denying)), 0, applied);
    assert.equal(found.status, "passed");
    assert.deepEqual(
      done.slice(0, 3).map((each) => each.split(" ").slice(0, 2).join(" ")),
      ["remove old", "apply AuthorizationPolicy", "apply AuthorizationPolicy"],
    );
    assert.match(done[1] ?? "", / deny$/);
    assert.match(done[2] ?? "", / meshproof-marker/);
    assert.equal(done.length - 3, asks(done).length);
    assert.deepEqual(
      found.objects.map(({ verb, kind, name, namespace, file, proxies }) => [
        verb,
        kind,
        name,
        namespace,
        file,
        proxies,
      ]),
      [["apply", "AuthorizationPolicy", "deny", "foo", "deny.yaml", ["foo/httpbin-1"]]],
    );
    assert.equal(left.size, 0);
    assert.equal(applied.size, 1);
    assert.ok(found.rounds >= 3);
    const { applyMs, inForceMs, probeMs, totalMs } = found.timing;
    assert.ok([applyMs, inForceMs, probeMs, totalMs].every(Number.isInteger) && inForceMs > 0);
  });

  it("names its requests by run, scenario, step, check and round", async () => {
    const { session, done } = meshOf();
    await runStep(session, scenarioOf(stepOf([]), stepOf([checkOf("/a"), checkOf("/b")])), 1, new Map());
    assert.deepEqual(asks(done).slice(0, 3), [
      "ask http://httpbin.foo:8000/a as meshproof/r/a/b/2.1/1",
      "ask http://httpbin.foo:8000/b as meshproof/r/a/b/2.2/1",
      "ask http://httpbin.foo:8000/a as meshproof/r/a/b/2.1/2",
    ]);
  });

  it("waits for clean ground where it is the first, and for nothing where a later one changes nothing", async () => {
    const applied = async (index: number): Promise<number> => {
      const { session, there } = meshOf();
      await runStep(session, scenarioOf(stepOf([checkOf("/a")]), stepOf([checkOf("/a")])), index, new Map());
      return there.length;
    };
    assert.deepEqual([await applied(0), await applied(1)], [1, 0]);
  });

  it("asks nothing and is an error where the proxies do not get its changes", async () => {
    const { session, done } = meshOf({ stuck: true });
    const found = await runStep(session, scenarioOf(stepOf([checkOf("/a")], denying)), 0, new Map());
    assert.deepEqual([found.status, found.checks, found.rounds, asks(done)], ["error", [], 0, []]);
    assert.ok((found.findings ?? []).length > 0);
    assert.match(found.reason ?? "", /foo\/httpbin-1/);
    assert.deepEqual([found.objects[0]?.name, found.objects[0]?.proxies], ["deny", []]);
  });

  it("that reads who asks for keys applies nothing before the ground is clean", async () => {
    const asked = [{ position, server: "nginx-proxy", by: "nobody" as const }];
    const step = scenarioOf(stepOf([checkOf("/a")], { ...denying, asked }));
    const unclean = meshOf({ rules: ["ns[foo]-policy[foreign]-rule[0]"] });
    const found = await runStep(unclean.session, step, 0, new Map());
    assert.equal(found.status, "error");
    assert.match(found.reason ?? "", /foreign/);
    assert.ok(unclean.there.every(({ metadata: { name } }) => name.startsWith("meshproof-marker")));
    assert.deepEqual(asks(unclean.done), []);
  });
});

describe("a check of a step", () => {
  const failing = (faked: Faked, parts: Partial<StepSpec> = {}) => {
    const { session } = meshOf({ answer: (url) => (url.endsWith("/bad") ? 403 : 200), ...faked });
    const step = stepOf([checkOf("/good"), checkOf("/bad")], parts);
    return runStep(session, scenarioOf(stepOf([]), step), 1, new Map());
  };

  it("that fails says why, what its workload lacks, and nothing of this is said of one that passes", async () => {
    const { status, checks } = await failing({ target: { readyPods: 0 } });
    const [good, bad] = checks;
    assert.deepEqual([status, good?.status, bad?.status], ["failed", "passed", "failed"]);
    assert.deepEqual([good?.findings, good?.reason], [undefined, undefined]);
    assert.deepEqual(
      bad?.findings?.map(({ kind }) => kind).filter((kind) => kind === "unexpected-answer" || kind === "no-ready-pod"),
      ["unexpected-answer", "no-ready-pod"],
    );
    assert.match(bad?.reason ?? "", /403/);
  });

  it("is explained by the proxy's config only where it does not pass", async () => {
    let dumps = 0;
    const dump = () => Promise.resolve((dumps++, { configs: [] }));
    const { checks } = await failing({ parts: { dump } });
    assert.deepEqual(
      checks.map(({ explanation }) => explanation === undefined),
      [true, false],
    );
    assert.equal(dumps, 1);
  });

  it("has no token in its URL and body, and not more of a body than is kept", async () => {
    const redact = (text: string): string => text.replaceAll(/hello|bad/g, "[hidden]".padEnd(9_000, "x"));
    const tokens = { ...fakeSession({}).tokens, redact };
    const { checks } = await failing({ parts: { tokens } });
    assert.match(checks[1]?.request.url ?? "", /^http:\/\/httpbin\.foo:8000\/\[hidden\]/);
    assert.match(checks[0]?.got.body ?? "", /^\[hidden\]/);
    assert.ok((checks[0]?.got.body.length ?? 0) < 9_000);
  });

  it("fails by a line of the access log that contradicts it, and so does its step", async () => {
    const policy = { status: 403, by: "authorization", policy: "other" } as const;
    const spec = { ...checkOf("/bad"), expect: policy };
    const find = (): { details: string } => ({ details: `rbac_access_denied_matched_policy[${RULE}]` });
    const { session } = meshOf({
      answer: (url) => (url.endsWith("/bad") ? 403 : 200),
      parts: { accessLog: { ...fakeSession({}).accessLog, find } },
    });
    const steps = scenarioOf(stepOf([]), stepOf([checkOf("/good"), spec]));
    const { status, checks } = await runStep(session, steps, 1, new Map());
    assert.deepEqual([status, ...checks.map((check) => check.status)], ["failed", "passed", "failed"]);
    assert.match(checks[1]?.reason ?? "", /other/);
  });
});

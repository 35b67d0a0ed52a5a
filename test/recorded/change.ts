/**
 * Results made by changing a recorded one, for tests that need what no mesh shows at will: one status alone, hostile text,
 * thousands of checks.
 */

import type { Decision, Explanation, Reason } from "../../harness/model/explanation.ts";
import type { Finding, ObjectFinding, RecordedText } from "../../harness/model/finding.ts";
import type {
  Answer,
  AppliedObject,
  AskedResult,
  CheckResult,
  RunResult,
  ScenarioResult,
  StepResult,
} from "../../harness/model/result.ts";
import type { Expectation } from "../../harness/model/scenario.ts";
import { countOf, worst } from "../../harness/verdict/status.ts";
import { sentences } from "../../reports/words.ts";
import { redRun } from "./results.ts";

/** Parsed once: the builders below take a part and change a copy. */
const red = redRun();
const checks = red.scenarios.flatMap(({ steps }) => steps.flatMap((one) => one.checks));

/** A scenario of the red run. */
export function redScenario(id: string): ScenarioResult {
  const found = red.scenarios.find((one) => one.id === id);
  if (found === undefined)
    throw new Error(`the red run has no scenario ${id}: ${red.scenarios.map((s) => s.id).join(", ")}`);
  return found;
}

/** A run of these scenarios. */
export function run(scenarios: readonly ScenarioResult[], changes: Partial<RunResult> = {}): RunResult {
  const { inputs: _, ...rest } = red;
  return { ...rest, command: "meshproof run", scenarios, counts: countOf(scenarios), ...changes };
}

/** The passed scenarios of the red run. */
export function allPassed(): RunResult {
  return run(red.scenarios.filter(({ status }) => status === "passed"));
}

/** A check of httpbin from sleep that passed with 200. */
export function check(name: string, changes: Partial<CheckResult> = {}): CheckResult {
  const { cell: _, ...passed } = found(
    ({ request, status }) => status === "passed" && request.to === "httpbin" && request.url.endsWith("/headers"),
  );
  return { ...passed, name, ...changes };
}

/** An answer as the mesh gave it: 401 by authentication, 403 by authorization, 200 by the workload; 0 where none came. */
export function answer(status: number, changes: Partial<Answer> = {}): Answer {
  if (status !== 0) return { ...found(({ got }) => got.status === status).got, ...changes };
  const { details: _, ...nothing } = answer(200);
  return { ...nothing, status: 0, by: "nobody", body: "", headers: {}, error: "(7) Failed to connect", ...changes };
}

export function expectation(status: number, changes: Partial<Expectation> = {}): Expectation {
  return { status, by: answer(status).by, ...changes };
}

/** A RequestAuthentication that is in force at one proxy. */
export function policy(changes: Partial<AppliedObject> = {}): AppliedObject {
  return { ...redScenario("jwt/algorithms").steps[0]!.objects[0]!, ...changes };
}

export function asked(changes: Partial<AskedResult> = {}): AskedResult {
  return { ...redScenario("jwt/jwks-uri-full-name").steps.flatMap((each) => each.asked)[0]!, ...changes };
}

/** What a config says that lets a request through to the workload, or denies it for this reason. */
export function explanation(reason: Reason, changes: Partial<Explanation> = {}): Explanation {
  const admitted = reason.kind === "allowed" || reason.kind === "not-denied" || reason.kind === "no-policy";
  const decision: Decision = admitted
    ? { verdict: "admitted", status: 200, by: "nobody", reason }
    : reason.kind === "token-refused"
      ? { verdict: "denied", status: 401, by: "authentication", reason }
      : { verdict: "denied", status: 403, by: "authorization", reason };
  const listener = { name: "0.0.0.0_8080" };
  return { decision, filtersAsked: true, tokensAsked: true, listener, path: "/", providers: [], rules: [], ...changes };
}

/** A reason that holds this text. */
export function recorded(text: string): RecordedText {
  return { kind: "recorded", text };
}

/** Findings with their words, as a result has them. */
export function because<F extends Finding>(...findings: readonly F[]) {
  return { findings, reason: sentences(findings) };
}

/** A finding that holds a text of the mesh. */
export function keysNotFetched(issuer: string): ObjectFinding {
  return { kind: "keys-not-fetched", issuers: [issuer] };
}

/** A step whose status follows from its checks. */
export function step(name: string, changes: Partial<StepResult> = {}): StepResult {
  const parts = [...(changes.checks ?? []), ...(changes.asked ?? []), ...(changes.admission ?? [])];
  const from = redScenario("jwt/algorithms").steps[0]!;
  const status = worst(parts.map((part) => part.status));
  return { ...from, status, objects: [], checks: [], asked: [], matrices: [], ...changes, name };
}

/** A scenario whose status follows from its steps; without steps in the changes, one step with one passed check. */
export function scenario(id: string, changes: Partial<ScenarioResult> = {}): ScenarioResult {
  const steps = changes.steps ?? [step("a valid token is admitted", { checks: [check("headers")] })];
  const status = worst(steps.map((each) => each.status));
  return { ...redScenario("jwt/algorithms"), title: `Scenario ${id}`, status, ...changes, id, steps };
}

/** What an attacker behind the mesh would answer to reach the reader of a report. */
export const attacks = {
  script: `<script>document.title="owned";alert(1)</script>`,
  breakout: `</script><script>document.title="owned"</script>`,
  attribute: `"><img src=x onerror=document.title="owned">`,
  cdata: `]]><!--`,
  control: `NUL\u0000 ESC\u001b[31mred\u001b]0;owned\u0007 RTL \u202egnp.exe separators \u2028\u2029 lone \ud800`,
  markdown: "```\n</details><b>owned</b>\n[click](javascript:alert(1)) | `x` |",
  token: "Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg",
} as const;

export const hostileText = Object.values(attacks).join("\n");

/** Long enough that it must be cut. */
export const endlessText = "A".repeat(10 * 1024 * 1024);

/** Every text that can come from a mesh carries every attack; one body has 10 MiB. */
export function hostile(): RunResult {
  const rows = ["/a", `/${attacks.script}`];
  const columns = ["none", attacks.attribute];
  const headers = { server: hostileText, "x-long": "y".repeat(100_000) };
  const failing: Partial<CheckResult> = {
    status: "failed",
    ...because(recorded(hostileText)),
    got: answer(401, { body: hostileText, headers, details: hostileText }),
    curl: `curl '${hostileText}'`,
    request: {
      ...check("").request,
      ...{
        from: "sleep",
        to: attacks.attribute,
        url: `http://x/${hostileText}`,
        tokens: [{ name: hostileText, words: hostileText }],
      },
    },
  };
  const endless: Partial<CheckResult> = {
    status: "failed",
    ...because(recorded("big")),
    got: answer(200, { body: endlessText }),
  };
  const attackedChecks = rows.flatMap((row, r) =>
    columns.map((column, c) =>
      check(`${row} ${column}`, {
        cell: { matrix: 0, row: r, column: c },
        ...(r === 0 ? (c === 0 ? failing : endless) : { request: { ...check("").request, url: `http://x${row}` } }),
      }),
    ),
  );
  const attacked = step(`step ${attacks.script}`, {
    objects: [policy({ yaml: hostileText, findings: [keysNotFetched(hostileText)], proxies: [attacks.attribute] })],
    checks: attackedChecks,
    matrices: [{ title: "", rows, columns }],
  });
  const title = `Hostile ${attacks.attribute}`;
  return run([scenario("jwt/hostile", { title, ...because(recorded(hostileText)), steps: [attacked] })]);
}

/** Many checks: scenarios of 20 each, every tenth with one that failed. */
export function many(count = 2000): RunResult {
  const rows = Array.from({ length: 5 }, (_, row) => `/p${row}`);
  const columns = ["none", "valid", "forged", "expired"];
  const [ok, bad] = [answer(200), answer(401)];
  const cells = (failing: boolean): CheckResult[] =>
    rows.flatMap((path, row) =>
      columns.map((column, index) => {
        const failed = failing && path === "/p2" && column === "valid";
        return check(`${path} ${column}`, {
          cell: { matrix: 0, row, column: index },
          ...(failed ? { status: "failed", got: bad, ...because(recorded("Jwt verification fails.")) } : { got: ok }),
        });
      }),
    );
  const scenarios = Array.from({ length: Math.ceil(count / 20) }, (_, index) =>
    scenario(`${index % 2 === 0 ? "jwt" : "paths"}/many-${index + 1}`, {
      title: `Scenario number ${index + 1} of many`,
      tags: [index % 3 === 0 ? "thirds" : "documented"],
      steps: [
        step("a matrix", {
          objects: [policy()],
          checks: cells(index % 10 === 3),
          matrices: [{ title: "", rows, columns }],
        }),
      ],
    }),
  );
  return run(scenarios);
}

function found(fits: (one: CheckResult) => boolean): CheckResult {
  const first = checks.find(fits);
  if (first === undefined) throw new Error("the red run has no such check: see test/recorded/broken.ts");
  return first;
}

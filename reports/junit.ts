import type { RunResult, ScenarioResult } from "../harness/model/result.ts";
import { count, outcomesOf, type Outcome } from "./outcome.ts";
import { prepare } from "./prepare.ts";
import { formatFailure } from "./terminal.ts";
import { visible } from "../harness/safe/visible.ts";

/**
 * JUnit XML for CI systems: a testsuite per scenario, a testcase per check, with the terminal's text of a failure.
 * Failed and flaky checks are failures, an environment error is an error; known failures and skips are skipped with their reason.
 */
export function formatJunit(result: RunResult): string {
  const prepared = prepare(result);
  const all = prepared.scenarios.flatMap(outcomesOf);
  const attributes = {
    name: "meshproof",
    ...totals(all),
    time: seconds(prepared.timing.totalMs),
    timestamp: prepared.startedAt,
  };
  const suites = prepared.scenarios.map((scenario) => suite(scenario, prepared));
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element("testsuites", attributes, suites)}\n`;
}

function suite(scenario: ScenarioResult, result: RunResult): string {
  const outcomes = outcomesOf(scenario);
  const { kind, versions } = result.cluster;
  const properties = {
    title: scenario.title,
    source: scenario.source,
    level: scenario.level,
    tags: scenario.tags.join(" "),
    cluster: kind,
    kubernetes: versions.kubernetes,
    istio: versions.istio,
    envoy: versions.envoy,
    ...(result.interrupted === true ? { interrupted: "true" } : {}),
  };
  return element(
    "testsuite",
    {
      name: scenario.id,
      ...totals(outcomes),
      time: seconds(scenario.durationMs),
      timestamp: scenario.startedAt,
      file: scenario.position.file,
    },
    [
      element(
        "properties",
        {},
        Object.entries(properties).map(([name, value]) => element("property", { name, value }, [])),
      ),
      ...outcomes.map(testcase),
    ],
  );
}

function testcase(outcome: Outcome): string {
  const { scenario, check, name, position } = outcome;
  // CI systems group test classes by the part of the name before the last dot.
  const attributes = {
    classname: scenario.id.replaceAll("/", "."),
    name,
    time: seconds(check?.got.totalMs ?? 0),
    file: position.file,
    line: String(position.line),
  };
  return element("testcase", attributes, verdict(outcome));
}

function verdict(outcome: Outcome): string[] {
  const message = outcome.reason ?? outcome.scenario.reason ?? "";
  switch (outcome.status) {
    case "passed":
      return [];
    case "failed":
    case "flaky":
      return [element("failure", { message, type: outcome.status }, [text(formatFailure(outcome))])];
    case "error":
      return [element("error", { message, type: "environment" }, [text(formatFailure(outcome))])];
    case "known-failure":
      return [element("skipped", { message: `known failure: ${message}` }, [])];
    case "skipped":
      return [element("skipped", { message }, [])];
  }
}

function totals(outcomes: readonly Outcome[]): Record<string, string> {
  const counts = count(outcomes);
  return {
    tests: String(outcomes.length),
    failures: String(counts.failed + counts.flaky),
    errors: String(counts.error),
    skipped: String(counts.skipped + counts["known-failure"]),
  };
}

const seconds = (ms: number): string => (ms / 1000).toFixed(3);

function element(name: string, attributes: Record<string, string>, children: readonly string[]): string {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${text(visible(value))}"`);
  const open = `<${name}${written.join("")}`;
  if (children.length === 0) return `${open}/>`;
  const inner = children.join("\n");
  return name === "failure" || name === "error" ? `${open}>${inner}</${name}>` : `${open}>\n${inner}\n</${name}>`;
}

/** Escapes text and attributes; drops characters that XML 1.0 does not allow (section 2.2, Char). */
function text(value: string): string {
  return value
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "node:test";
import { readKnownChanges } from "../compare/known.ts";
import { envoyOf, FIXED_IN } from "./envoy.ts";

/** A config dump with Envoy's version as it writes it: without what is 0. */
function dumpOf(version: object, label?: string): unknown {
  const metadata = { "build.type": "RELEASE", ...(label !== undefined && { "build.label": label }) };
  return { configs: [{ bootstrap: { node: { user_agent_build_version: { version, metadata } } } }] };
}

const numbers = (text: string): object => {
  const [major = 0, minor = 0, patch = 0] = text.split(".").map(Number);
  return { major_number: major, minor_number: minor, ...(patch > 0 && { patch }) };
};

describe("the Envoy of a config dump", () => {
  const TABLE: readonly (readonly [version: string, label: string | undefined, headers: boolean | undefined])[] = [
    ["1.36.4", undefined, false],
    ["1.36.5", undefined, true],
    ["1.36.12", undefined, true],
    ["1.37.0", undefined, false],
    ["1.37.1", undefined, true],
    ["1.40.0", undefined, true],
    ["1.36.4", "dev", false],
    ["1.36.5", "dev", undefined],
    ["1.36.6", "dev", true],
    ["1.37.0", "dev", undefined],
    ["1.41.0", "dev", undefined],
  ];
  for (const [version, label, headers] of TABLE)
    it(`${version}${label === undefined ? "" : `-${label}`}: whether it has a fix is ${headers ?? "not known"}`, () => {
      const envoy = envoyOf(dumpOf(numbers(version), label));
      assert.equal(envoy.has("CVE-2026-26308"), headers);
      assert.equal(envoy.version, version + (label === undefined ? "" : `-${label}`));
    });

  it("is not known without a bootstrap, or without a version in it", () => {
    for (const dump of [{}, { configs: [{ bootstrap: { node: { id: "sidecar" } } }] }])
      assert.equal(envoyOf(dump).has("CVE-2026-73551"), undefined);
  });

  it("has the fixes of the releases that the list of known changes has", async () => {
    const known = await readKnownChanges(path.join(import.meta.dirname, "../compare/known-changes.yaml"));
    const fixes = known.filter(({ source }) => Object.keys(FIXED_IN).some((fix) => source.includes(fix)));
    assert.ok(fixes.length >= Object.keys(FIXED_IN).length);
    for (const { id, source, versions } of fixes) {
      const [, ranges] = Object.entries(FIXED_IN).find(([fix]) => source.includes(fix)) ?? [];
      assert.deepEqual(versions, { envoy: ranges }, id);
    }
  });
});

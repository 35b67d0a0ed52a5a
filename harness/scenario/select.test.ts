import assert from "node:assert/strict";
import { test } from "node:test";
import { MeshproofError } from "../model/errors.ts";
import { selectScenarios } from "./select.ts";
import type { Scenario } from "../model/scenario.ts";

const SCENARIOS = [
  ["jwt/algorithms", ["documented"]],
  ["jwt/jwks-uri-full-name", ["documented", "jwks"]],
  ["jwt/jwks-uri-short-name", ["jwks"]],
  ["paths/skip-jwt-for-paths", []],
].map(([id, tags]) => ({ id, tags }) as unknown as Scenario);

function select(names: string[], tags: string[] = []): string[] {
  return selectScenarios(SCENARIOS, { names, tags }).map(({ id }) => id);
}

for (const [names, tags, expected] of [
  [[], [], SCENARIOS.map(({ id }) => id)],
  [["jwt/algorithms"], [], ["jwt/algorithms"]],
  [["algorithms"], [], ["jwt/algorithms"]],
  [["paths"], [], ["paths/skip-jwt-for-paths"]],
  [["jwt/jwks-*"], [], ["jwt/jwks-uri-full-name", "jwt/jwks-uri-short-name"]],
  [["*-name"], [], ["jwt/jwks-uri-full-name", "jwt/jwks-uri-short-name"]],
  [["**"], ["jwks"], ["jwt/jwks-uri-full-name", "jwt/jwks-uri-short-name"]],
  [["paths/*", "jwt/algorithms"], [], ["jwt/algorithms", "paths/skip-jwt-for-paths"]],
  [["./scenarios/paths/skip-jwt-for-paths/"], [], ["paths/skip-jwt-for-paths"]],
  [["scenarios/paths/skip-jwt-for-paths/scenario.yaml"], [], ["paths/skip-jwt-for-paths"]],
  [[], ["jwks", "documented"], ["jwt/algorithms", "jwt/jwks-uri-full-name", "jwt/jwks-uri-short-name"]],
] as [string[], string[], string[]][])
  test(`selects [${names.join(" ")}] with tags [${tags.join(" ")}]`, () =>
    assert.deepEqual(select(names, tags), expected));

for (const [names, tags, message, hint] of [
  [["jwt/algoritms"], [], 'no scenario matches "jwt/algoritms"', 'did you mean "jwt/algorithms"?'],
  [["jwt/*", "nothing"], [], 'no scenario matches "nothing"', "meshproof list shows all scenarios"],
  [[], ["jwk"], 'no scenario has the tag "jwk"', "tags are documented, jwks"],
  [["jwt/algorithms"], ["jwks"], 'no scenario of those named has the tag "jwks"', "tags are documented"],
] as [string[], string[], string, string][])
  test(`[${names.join(" ")}] with tags [${tags.join(" ")}] selects nothing, which is an error`, () => {
    assert.throws(
      () => select(names, tags),
      (error) => {
        assert(error instanceof MeshproofError);
        assert.deepEqual([error.code, error.message, error.hint], ["ERR_NOTHING_SELECTED", message, hint]);
        return true;
      },
    );
  });

test("no scenario at all is an error", () => {
  assert.throws(() => selectScenarios([], { names: [], tags: [] }), /there is no scenario/);
});

/** What an Envoy does otherwise since a fix, of which its config shows nothing but the version. */

import type { EnvoyFix, Judge, Missing } from "../model/explanation.ts";
import { isWithin, numbersOf, type VersionRange } from "../model/version-range.ts";
import { at, list, text } from "./tree.ts";

/** The releases with each fix, as harness/compare/known-changes.yaml has them with their sources. */
export const FIXED_IN: Readonly<Record<EnvoyFix, readonly VersionRange[]>> = {
  // RBAC compares each value of a repeated header, and before it all of them, joined by a comma.
  "CVE-2026-26308": [{ since: "1.36.5", until: "1.37.0" }, { since: "1.37.1" }],
  // A dot segment with parameters, as in /a/..;x/b, is one.
  "CVE-2026-73551": [
    { since: "1.36.10", until: "1.37.0" },
    { since: "1.37.6", until: "1.38.0" },
    { since: "1.38.4", until: "1.39.0" },
    { since: "1.39.1" },
  ],
};

/** The Envoy that a config dump is of. */
export interface Envoy {
  /** `1.40.0`, `1.36.5-dev`; undefined if the dump has no bootstrap. */
  readonly version?: string;
  /** Whether it has a fix; undefined where its version does not say so. */
  has(fix: EnvoyFix): boolean | undefined;
}

/** The bootstrap in a config dump. */
export function bootstrapOf(dump: unknown): unknown {
  return list(at(dump, "configs"))
    .map((config) => at(config, "bootstrap"))
    .find((one) => one !== undefined);
}

export function envoyOf(dump: unknown): Envoy {
  const build = at(bootstrapOf(dump), "node", "user_agent_build_version");
  const version = at(build, "version");
  if (version === undefined) return { has: () => undefined };
  const [major, minor, patch] = ["major_number", "minor_number", "patch"].map((key) => Number(at(version, key) ?? 0));
  const numbers = [major ?? 0, minor ?? 0, patch ?? 0] as const;
  const label = text(at(build, "metadata", "build.label"));
  return {
    version: numbers.join(".") + (label === "" ? "" : `-${label}`),
    has(fix) {
      const fixed = isWithin(numbers, FIXED_IN[fix]);
      if (label === "") return fixed;
      // A build between two releases has a fix for certain only if both have it, and lacks it if neither has it.
      if (numbers[2] === 0) return undefined;
      return isWithin([numbers[0], numbers[1], numbers[2] - 1], FIXED_IN[fix]) === fixed ? fixed : undefined;
    },
  };
}

const KINDS: Readonly<Record<string, Judge["kind"]>> = { router: "gateway", waypoint: "waypoint", sidecar: "sidecar" };

/** The proxy that a config dump is of, by the id that pilot-agent gives it: `router~10.0.0.1~pod.namespace~domain`. */
export function judgeIn(dump: unknown): Judge | undefined {
  const [type = "", , pod = ""] = text(at(bootstrapOf(dump), "node", "id")).split("~");
  const [, name, namespace] = /^(.+)\.([^.]+)$/.exec(pod) ?? [];
  const kind = KINDS[type];
  return kind === undefined || name === undefined || namespace === undefined ? undefined : { kind, namespace, name };
}

/** The part of a bootstrap that says that it is of this release. */
export function nodeOf(release: string): object {
  const [major_number, minor_number, patch] = numbersOf(release) ?? [];
  return { user_agent_build_version: { version: { major_number, minor_number, patch } } };
}

/** What is missing where {@link Envoy.has} is undefined and decides. */
export function fixUnknown(fix: EnvoyFix, { version }: Envoy): Missing {
  return { kind: "envoy-fix", fix, ...(version !== undefined && { version }) };
}

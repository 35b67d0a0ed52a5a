import { MeshproofError } from "../model/errors.ts";
import type { SkipFinding } from "../model/finding.ts";
import type { Scenario } from "../model/scenario.ts";
import { usesJwksUri } from "./eligible.ts";

/** What a mesh claims to be, and so what it promises. */
export interface Profile {
  /** As it is written on the command line: `istio`, `asm`, `asm@1.12`. */
  readonly name: string;
  /** Why the mesh does not promise what a scenario asserts; undefined where it does. */
  lacks(scenario: Scenario): SkipFinding | undefined;
}

/** Upstream Istio, which promises everything that is documented here. */
export const ISTIO: Profile = { name: "istio", lacks: () => undefined };

/** ASM, JWT authentication FAQ, "Algorithms" and "jwksUri": both hold from this version on. */
const ASM_FULL = [1, 13] as const;

/**
 * Reads a profile.
 * @param text `istio`, `asm` (the newest), or `asm@1.12`
 * @throws ERR_USAGE
 */
export function readProfile(text: string): Profile {
  const [, name, major, minor] = /^(istio|asm)(?:@v?(\d+)\.(\d+)(?:\.\d+)?)?$/.exec(text) ?? [];
  if (name === undefined)
    throw new MeshproofError("ERR_USAGE", `there is no profile "${text}"`, {
      hint: "istio, asm, or asm with its version, such as asm@1.12",
    });
  if (name === "istio" || major === undefined) return { ...ISTIO, name: text };
  const [fullMajor, fullMinor] = ASM_FULL;
  const old = Number(major) < fullMajor || (Number(major) === fullMajor && Number(minor) < fullMinor);
  return old ? { name: text, lacks: lacksBefore113 } : { ...ISTIO, name: text };
}

function lacksBefore113(scenario: Scenario): SkipFinding | undefined {
  const algorithm = Object.values(scenario.tokens)
    .map(({ alg }) => alg)
    .find((alg) => alg !== undefined && !alg.startsWith("RS"));
  if (algorithm !== undefined) return { kind: "profile-algorithm", alg: algorithm };
  if (usesJwksUri(scenario)) return { kind: "profile-jwks-uri" };
  return undefined;
}

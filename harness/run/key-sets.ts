import { substitutionsIn } from "../scenario/index.ts";
import type { ManifestFile } from "../model/scenario.ts";
import type { TokenFactory } from "../tokens/factory.ts";

/** The key sets of every issuer that manifests name. */
export async function readKeySets(
  tokens: TokenFactory,
  files: readonly Pick<ManifestFile, "text" | "file">[],
): Promise<ReadonlyMap<string, string>> {
  const issuers = new Set(
    files.flatMap((f) => substitutionsIn(f.text, f.file)).flatMap((s) => (s.issuer ? [s.issuer] : [])),
  );
  return new Map(await Promise.all([...issuers].map(async (issuer) => [issuer, await tokens.jwks(issuer)] as const)));
}

import { MeshproofError } from "../../../harness/errors.ts";
import { DEFAULT_MESH, ENVOY_VERSIONS, ISTIO_VERSIONS } from "./list.ts";
import type { MeshVersions } from "./list.ts";

/** What somebody asked for; the default where a key is missing. */
export interface WantedMesh {
  readonly istio?: string | undefined;
  readonly envoy?: string | undefined;
}

/**
 * The versions that are meant by `1.30`, `1.30.x`, or a whole version.
 * @throws MeshproofError ERR_USAGE with the versions that there are
 */
export function chooseMesh(wanted: WantedMesh, fallback: MeshVersions = DEFAULT_MESH): MeshVersions {
  return {
    istio: wanted.istio === undefined ? fallback.istio : choose("Istio", wanted.istio, ISTIO_VERSIONS),
    envoy: wanted.envoy === undefined ? fallback.envoy : choose("Envoy", wanted.envoy, ENVOY_VERSIONS),
  };
}

function choose(program: string, wanted: string, versions: readonly string[]): string {
  const short = wanted.replace(/^v/, "").replace(/\.x$/, "");
  const minorOf = (version: string): string => /^\d+\.\d+/.exec(version)?.[0] ?? "";
  const found = versions.find((version) => version === short || minorOf(version) === short);
  if (found !== undefined) return found;
  throw new MeshproofError("ERR_USAGE", `the embedded cluster has no ${program} ${wanted}`, {
    hint: `it has ${versions.map((version) => `${minorOf(version)} (${version})`).join(", ")}`,
  });
}

import { MeshproofError } from "../../harness/model/errors.ts";
import {
  DEFAULT_MESH,
  ENVOY_VERSIONS,
  isBuiltHere,
  ISTIO_VERSIONS,
  listVersions,
  type MeshChoice,
  type MeshVersions,
  minorOf,
} from "./list.ts";
import { isReleaseVersion } from "./release.ts";

/** The requested versions; a missing key means the default. */
export interface WantedMesh {
  readonly istio?: string | undefined;
  readonly envoy?: string | undefined;
}

/**
 * The versions that are meant by `1.30`, `1.30.x`, or a whole version. An Istio that is not built here comes out of its
 * released images, with the Envoy in them unless another one is asked for.
 * @param running what to keep where nothing is asked for
 * @throws MeshproofError ERR_USAGE with the versions that there are
 */
export function chooseMesh(wanted: WantedMesh, running?: MeshVersions): MeshChoice {
  const istio = wanted.istio === undefined ? (running ?? DEFAULT_MESH).istio : chooseIstio(wanted.istio);
  if (wanted.envoy !== undefined) return { istio, envoy: chooseEnvoy(wanted.envoy) };
  if (running !== undefined) return { istio, envoy: running.envoy };
  return isBuiltHere(istio) ? { istio, envoy: DEFAULT_MESH.envoy, anyEnvoy: true } : { istio, envoy: undefined };
}

function chooseIstio(wanted: string): string {
  const found = find(wanted, ISTIO_VERSIONS);
  if (found !== undefined) return found;
  if (isReleaseVersion(plain(wanted))) return plain(wanted);
  throw new MeshproofError("ERR_USAGE", `the embedded cluster has no Istio ${wanted}`, {
    hint: `it has ${listVersions(ISTIO_VERSIONS)}; any other is taken out of its released images by its whole version, such as 1.29.2`,
  });
}

function chooseEnvoy(wanted: string): string {
  const found = find(wanted, ENVOY_VERSIONS);
  if (found !== undefined) return found;
  throw new MeshproofError("ERR_USAGE", `the embedded cluster has no Envoy ${wanted}`, {
    hint: `it has ${listVersions(ENVOY_VERSIONS)}`,
  });
}

const plain = (wanted: string): string => wanted.replace(/^v/, "");

function find(wanted: string, versions: readonly string[]): string | undefined {
  const short = plain(wanted).replace(/\.x$/, "");
  return versions.find((version) => version === short || minorOf(version) === short);
}

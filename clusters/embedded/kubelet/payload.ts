import type {
  V1ConfigMap,
  V1DownwardAPIVolumeFile,
  V1KeyToPath,
  V1Pod,
  V1ProjectedVolumeSource,
  V1Secret,
  V1ServiceAccountTokenProjection,
  V1Volume,
} from "@kubernetes/client-node";
import { type PodFacts, readField, readResource } from "./fields.ts";

export interface FileContent {
  readonly data: Buffer;
  /** Permission bits. */
  readonly mode: number;
}

/** Relative path to content. */
export type Payload = ReadonlyMap<string, FileContent>;

/** The sources of volumes. */
export interface PayloadSources {
  readonly pod: V1Pod;
  readonly facts: PodFacts;
  configMap(name: string): V1ConfigMap | undefined;
  secret(name: string): V1Secret | undefined;
  token(projection: V1ServiceAccountTokenProjection): string;
}

/** A volume that cannot be written yet; becomes an event FailedMount. */
export class VolumeError extends Error {
  override readonly name = "VolumeError";
}

const DEFAULT_MODE = 0o644;

/**
 * The files of a config map, secret, downward API or projected volume; undefined for a volume of another kind.
 * @throws VolumeError where a required object or key is missing.
 */
export function payloadOf(volume: V1Volume, sources: PayloadSources): Payload | undefined {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap)
    return keyed("configmap", configMap.name, configMap.items, configMap.optional, configMap.defaultMode, sources);
  if (secret) return keyed("secret", secret.secretName, secret.items, secret.optional, secret.defaultMode, sources);
  if (downwardAPI) return downward(downwardAPI.items, downwardAPI.defaultMode, sources);
  return projected ? projectedPayload(projected, sources) : undefined;
}

function projectedPayload({ sources: parts, defaultMode }: V1ProjectedVolumeSource, sources: PayloadSources): Payload {
  const payload = new Map<string, FileContent>();
  for (const { configMap, secret, downwardAPI, serviceAccountToken, ...other } of parts ?? []) {
    const unknown = Object.keys(other)[0];
    if (unknown) throw new VolumeError(`projected volume source ${unknown} is not available on the embedded cluster`);
    const part = configMap
      ? keyed("configmap", configMap.name, configMap.items, configMap.optional, defaultMode, sources)
      : secret
        ? keyed("secret", secret.name, secret.items, secret.optional, defaultMode, sources)
        : downwardAPI
          ? downward(downwardAPI.items, defaultMode, sources)
          : new Map<string, FileContent>();
    for (const [path, content] of part) payload.set(path, content);
    if (serviceAccountToken) {
      // With an fsGroup the kubelet makes a token unreadable for other users (Kubernetes: projected volumes, token permissions).
      const mode = sources.pod.spec?.securityContext?.fsGroup === undefined ? (defaultMode ?? DEFAULT_MODE) : 0o600;
      payload.set(checkedPath(serviceAccountToken.path), {
        data: Buffer.from(sources.token(serviceAccountToken)),
        mode,
      });
    }
  }
  return payload;
}

function keyed(
  kind: "configmap" | "secret",
  name: string | undefined,
  items: readonly V1KeyToPath[] | undefined,
  optional: boolean | undefined,
  defaultMode: number | undefined,
  sources: PayloadSources,
): Payload {
  const contents =
    kind === "configmap"
      ? configMapContents(sources.configMap(name ?? ""))
      : secretContents(sources.secret(name ?? ""));
  const mode = defaultMode ?? DEFAULT_MODE;
  if (!contents) {
    if (optional) return new Map();
    throw new VolumeError(`${kind} "${name}" not found`);
  }
  if (!items) return new Map([...contents].map(([key, data]) => [checkedPath(key), { data, mode }]));
  const payload = new Map<string, FileContent>();
  for (const item of items) {
    const data = contents.get(item.key);
    if (data) payload.set(checkedPath(item.path), { data, mode: item.mode ?? mode });
    else if (!optional) throw new VolumeError(`references non-existent ${kind} key: ${item.key}`);
  }
  return payload;
}

function configMapContents(object: V1ConfigMap | undefined): Map<string, Buffer> | undefined {
  return (
    object &&
    new Map([
      ...Object.entries(object.data ?? {}).map(([key, text]) => [key, Buffer.from(text)] as const),
      ...Object.entries(object.binaryData ?? {}).map(([key, data]) => [key, Buffer.from(data, "base64")] as const),
    ])
  );
}

function secretContents(object: V1Secret | undefined): Map<string, Buffer> | undefined {
  return object && new Map(Object.entries(object.data ?? {}).map(([key, data]) => [key, Buffer.from(data, "base64")]));
}

function downward(
  items: readonly V1DownwardAPIVolumeFile[] | undefined,
  defaultMode: number | undefined,
  { pod, facts }: PayloadSources,
): Payload {
  return new Map(
    (items ?? []).map(({ path, mode, fieldRef, resourceFieldRef }) => [
      checkedPath(path),
      {
        data: Buffer.from(
          fieldRef
            ? readField(pod, facts, fieldRef)
            : resourceFieldRef
              ? readResource(pod, facts, resourceFieldRef)
              : "",
        ),
        mode: mode ?? defaultMode ?? DEFAULT_MODE,
      },
    ]),
  );
}

/** The API server rejects such paths already; this process writes files as root, so it checks again. */
function checkedPath(path: string): string {
  const parts = path.split("/");
  if (path === "" || path.startsWith("/") || path.startsWith("..") || parts.includes("..") || parts.includes(""))
    throw new VolumeError(`"${path}" is not a path inside the volume`);
  return path;
}

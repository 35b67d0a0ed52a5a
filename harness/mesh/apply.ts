import { parseAllDocuments } from "yaml";
import { MeshproofError } from "../model/errors.ts";
import { inLanes } from "../lanes.ts";
import { messageOf, reasonOf, statusOf, UnknownKindError } from "./api-error.ts";
import { type Manifest } from "./client.ts";

/** The documents of a manifest file; empty ones are dropped, `List` objects are opened. */
export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    if (document.errors[0]) throw document.errors[0];
    const value = document.toJS() as Manifest | null;
    if (!value) return [];
    return value.kind === "List" ? ((value["items"] as Manifest[] | undefined) ?? []) : [value];
  });
}

/** `AuthorizationPolicy foo/test-exclude`, as failures name it. */
export function nameOf(manifest: Manifest): string {
  const { namespace, name } = manifest.metadata;
  return `${manifest.kind} ${namespace ? `${namespace}/` : ""}${name}`;
}

/** What takes an object: a part of `Kube`. */
export interface Applying {
  readonly objects: { apply(manifest: Manifest, options: { dryRun: boolean }): Promise<Manifest> };
}

/**
 * Applies one object, or asks whether it could be (`dryRun`). A webhook that is not reachable yet (the control plane is still coming up) is retried until the limit.
 * @throws ERR_MANIFEST_REJECTED with the API server's own words where it refuses the object.
 */
export async function applyManifest(
  kube: Applying,
  manifest: Manifest,
  options: { labels?: Record<string, string>; limitMs?: number; signal?: AbortSignal; dryRun?: boolean } = {},
): Promise<Manifest> {
  const labelled = options.labels
    ? { ...manifest, metadata: { ...manifest.metadata, labels: { ...manifest.metadata.labels, ...options.labels } } }
    : manifest;
  const until = performance.now() + (options.limitMs ?? 15_000);
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      return await kube.objects.apply(labelled, { dryRun: options.dryRun === true });
    } catch (error) {
      if (error instanceof MeshproofError) throw error;
      // What is asked about and not made waits for no CRD.
      const unknownKind = options.dryRun === true && error instanceof UnknownKindError;
      if (isTransient(error) && !unknownKind && performance.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        continue;
      }
      if (statusOf(error) === undefined && !unknownKind) {
        throw new MeshproofError(
          "ERR_CLUSTER_UNREACHABLE",
          `the API server did not take ${nameOf(manifest)}: ${messageOf(error)}`,
          { cause: error },
        );
      }
      throw new MeshproofError(
        "ERR_MANIFEST_REJECTED",
        `the API server rejected ${nameOf(manifest)}: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }
}

/** Several objects: namespaces and CRDs first and one after the other, then the rest side by side. */
export async function applyManifests(
  kube: Applying,
  manifests: readonly Manifest[],
  options: { labels?: Record<string, string>; limitMs?: number; signal?: AbortSignal } = {},
): Promise<void> {
  const first = manifests.filter((m) => m.kind === "Namespace" || m.kind === "CustomResourceDefinition");
  const rest = manifests.filter((m) => !first.includes(m));
  for (const group of [first, rest]) await inLanes(group, (manifest) => applyManifest(kube, manifest, options));
}

/** A refusal that a moment changes: a webhook without endpoint, a busy server, a namespace or CRD that is just being made. */
function isTransient(error: unknown): boolean {
  const status = statusOf(error);
  if (status === 429 || status === 503 || status === 504) return true;
  // The API server has no code for this: it answers 500 to other things, too.
  if (status === 500 && /failed calling webhook|failed to call webhook/.test(messageOf(error))) return true;
  // Our own, which is on its way out: what is applied is created only where it is not there.
  if (status === 409 && reasonOf(error) === "AlreadyExists") return true;
  return error instanceof UnknownKindError;
}

import { parseAllDocuments } from "yaml";
import { MeshproofError } from "../model/errors.ts";
import { inLanes } from "../lanes.ts";
import { messageOf, reasonOf, statusOf, UnknownKindError } from "./api-error.ts";
import type { Manifest } from "./client.ts";

/** The documents of a manifest file. Empty documents are dropped, `List` objects are replaced by their items. */
export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    if (document.errors[0]) throw document.errors[0];
    const value = document.toJS() as Manifest | null;
    if (!value) return [];
    return value.kind === "List" ? ((value["items"] as Manifest[] | undefined) ?? []) : [value];
  });
}

/** An object's name in messages: `AuthorizationPolicy foo/test-exclude`. */
export function nameOf(manifest: Manifest): string {
  const { namespace, name } = manifest.metadata;
  return `${manifest.kind} ${namespace ? `${namespace}/` : ""}${name}`;
}

/** The part of `Kube` that applies objects. */
export interface Applying {
  readonly objects: { apply(manifest: Manifest, options: { dryRun: boolean }): Promise<Manifest> };
}

/**
 * Applies one object, or checks it with `dryRun`. Retries until the limit while a webhook is not reachable (the control
 * plane is still starting).
 * @throws ERR_MANIFEST_REJECTED with the API server's message if it rejects the object.
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
      // A dry run does not wait for a CRD.
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

/** Applies several objects: namespaces and CRDs first, one after the other, then the rest in parallel. */
export async function applyManifests(
  kube: Applying,
  manifests: readonly Manifest[],
  options: { labels?: Record<string, string>; limitMs?: number; signal?: AbortSignal } = {},
): Promise<void> {
  const first = manifests.filter((m) => m.kind === "Namespace" || m.kind === "CustomResourceDefinition");
  const rest = manifests.filter((m) => !first.includes(m));
  for (const group of [first, rest]) await inLanes(group, (manifest) => applyManifest(kube, manifest, options));
}

/** True for an error that goes away: a webhook without endpoint, a busy server, a namespace or CRD that is still being created. */
function isTransient(error: unknown): boolean {
  const status = statusOf(error);
  if (status === 429 || status === 503 || status === 504) return true;
  // The API server has no reason code for this, and other errors are 500, too.
  if (status === 500 && /failed calling webhook|failed to call webhook/.test(messageOf(error))) return true;
  // Our own object, which is being deleted: apply creates an object only if none was found.
  if (status === 409 && reasonOf(error) === "AlreadyExists") return true;
  // A CRD that is established and not served yet: its path is unknown, and the answer is not of the API.
  if (status === 404 && reasonOf(error) === undefined) return true;
  return error instanceof UnknownKindError;
}

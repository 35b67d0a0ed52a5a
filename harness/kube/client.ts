import { AppsV1Api, CoreV1Api, KubeConfig, KubernetesObjectApi, type KubernetesObject } from "@kubernetes/client-node";
import { ApiException } from "@kubernetes/client-node";
import { basename, dirname } from "node:path";
import { MeshproofError } from "../errors.ts";
import { shareConnections } from "./connections.ts";
import { findOwnFolder, readOwnFile, TEMP_HINT } from "../own.ts";
import { writeJournal, type ObjectRef } from "./journal.ts";

/** Who owns the fields that meshproof applies (Kubernetes server-side apply). */
export const FIELD_MANAGER = "meshproof";

/** A manifest as parsed: whatever the file said, so that the API server, not a client model, judges unknown fields. */
export interface Manifest extends KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: NonNullable<KubernetesObject["metadata"]> & { name: string };
  [field: string]: unknown;
}

/** The API of one cluster. */
export interface Kube {
  readonly config: KubeConfig;
  readonly core: CoreV1Api;
  readonly apps: AppsV1Api;
  readonly objects: ObjectApi;
}

/**
 * Opens the API of the current context of a kubeconfig that this program wrote, in a folder that it made.
 * @param journal a file that names every object before it is applied
 * @param pinned whether it is a context of somebody's kubeconfig, in which a program to log in was allowed; the kubeconfigs
 *   of clusters that are ours name none
 * @throws ERR_CLUSTER_UNREACHABLE where the file cannot be read; ERR_FOREIGN_FILE where it is not this user's alone, or names
 *   a program that it must not name.
 */
export function connect(kubeconfigFile: string, journal?: string, pinned = false): Kube {
  const config = new KubeConfig();
  const secret = { secret: true, hint: TEMP_HINT } as const;
  const folder = findOwnFolder(dirname(kubeconfigFile), secret);
  const text = folder && readOwnFile(folder, basename(kubeconfigFile), secret);
  try {
    if (text === undefined) throw new Error("it does not exist");
    config.loadFromString(text);
  } catch (cause) {
    throw new MeshproofError(
      "ERR_CLUSTER_UNREACHABLE",
      `the kubeconfig ${kubeconfigFile} cannot be read: ${messageOf(cause)}`,
      { cause },
    );
  }
  const login = pinned ? undefined : config.getUsers().find((user) => user.exec || user.authProvider);
  if (login)
    throw new MeshproofError(
      "ERR_FOREIGN_FILE",
      `the kubeconfig ${kubeconfigFile} names a program to log in (${login.exec ? "exec" : "auth-provider"}), which meshproof never writes there; nothing was run`,
      { hint: "see who wrote it, end the cluster with meshproof down, and start it again" },
    );
  return connectWith(config, journal);
}

export function connectWith(config: KubeConfig, journal?: string): Kube {
  shareConnections(config);
  return {
    config,
    core: config.makeApiClient(CoreV1Api),
    apps: config.makeApiClient(AppsV1Api),
    objects: ObjectApi.of(config, journal),
  };
}

/** Objects of any kind; sends them as they are, with strict field validation. */
export class ObjectApi extends KubernetesObjectApi {
  readonly #written = new Set<string>();
  #journal: string | undefined;

  static of(config: KubeConfig, journal?: string): ObjectApi {
    const api = config.makeApiClient(ObjectApi);
    api.#journal = journal;
    api.setDefaultNamespace(config);
    return api;
  }

  /** Server-side apply (forced: our field manager wins), unknown fields refused (`fieldValidation=Strict`). */
  async apply(manifest: Manifest, options: { dryRun?: boolean } = {}): Promise<Manifest> {
    const path = await this.pathOf(manifest);
    if (!options.dryRun) this.#write(manifest);
    const request = this.configuration.baseServer.makeRequestContext(path, "PATCH");
    request.setHeaderParam("Accept", "application/json");
    request.setHeaderParam("Content-Type", "application/apply-patch+yaml");
    request.setQueryParam("fieldManager", FIELD_MANAGER);
    request.setQueryParam("force", "true");
    request.setQueryParam("fieldValidation", "Strict");
    if (options.dryRun) request.setQueryParam("dryRun", "All");
    request.setBody(JSON.stringify(manifest));
    return await this.requestPromise<Manifest>(request);
  }

  #write({ apiVersion, kind, metadata: { namespace, name } }: Manifest): void {
    const ref: ObjectRef = { apiVersion, kind, ...(namespace === undefined ? {} : { namespace }), name };
    const key = JSON.stringify(ref);
    if (this.#journal === undefined || this.#written.has(key)) return;
    writeJournal(this.#journal, ref);
    this.#written.add(key);
  }

  /** A GET of any path, for what no typed client covers. */
  async get<T extends object>(path: string, accept = "application/json"): Promise<T> {
    const request = this.configuration.baseServer.makeRequestContext(path, "GET");
    request.setHeaderParam("Accept", accept);
    return await this.requestPromise<T & KubernetesObject>(request);
  }

  /** Deletes it; false where it was not there. */
  async remove(manifest: Manifest, gracePeriodSeconds?: number): Promise<boolean> {
    try {
      await this.delete(manifest, undefined, undefined, gracePeriodSeconds, undefined, "Background");
      return true;
    } catch (error) {
      if (statusOf(error) === 404) return false;
      throw error;
    }
  }

  /** The discovery of a group is cached; a kind that came later (a CRD) needs one fresh look. */
  private async pathOf(manifest: Manifest): Promise<string> {
    try {
      return await this.specUriPath(manifest, "patch");
    } catch {
      delete this.apiVersionResourceCache[manifest.apiVersion];
      return await this.specUriPath(manifest, "patch");
    }
  }
}

/** The HTTP status of an API error; undefined where the request never got one. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof ApiException ? error.code : undefined;
}

/** What the API server said, without the client's own decoration. */
export function messageOf(error: unknown): string {
  if (error instanceof ApiException) {
    const body: unknown = typeof error.body === "string" ? parseOr(error.body) : error.body;
    if (typeof body === "object" && body !== null && "message" in body && typeof body.message === "string")
      return body.message;
    return `HTTP ${error.code}: ${String(error.body).slice(0, 500)}`;
  }
  if (error instanceof Error)
    return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
  return String(error);
}

function parseOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

import { createHash } from "node:crypto";
import { basename, dirname } from "node:path";
import {
  AppsV1Api,
  CoreV1Api,
  KubeConfig,
  KubernetesObjectApi,
  type Configuration,
  type KubernetesObject,
  type RequestContext,
  type ResponseContext,
} from "@kubernetes/client-node";
import { MeshproofError } from "../model/errors.ts";
import { UnknownKindError, messageOf, reasonOf, statusOf } from "./api-error.ts";
import { ApiWarnings } from "./api-warnings.ts";
import { shareConnections } from "./connections.ts";
import { findOwnFolder, readOwnFile, TEMP_HINT } from "../own.ts";
import { keyOf, manifestOf, namedAs, type ObjectRecord, type ObjectRef } from "./journal.ts";
import { Ledger, type Own } from "./ledger.ts";
import { describeReach } from "../../reports/words.ts";
import { reachOf } from "./reach.ts";

/** Field manager of the fields that meshproof applies (Kubernetes server-side apply). */
export const FIELD_MANAGER = "meshproof";

/** A manifest as parsed, with every field of the file: the API server, not a client model, decides about unknown fields. */
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
 * Connects to the current context of a kubeconfig that meshproof wrote, in a folder that meshproof created.
 * @param journal the journal of a run on an existing cluster: only objects in it may be changed or removed
 * @param pinned whether it is a context of the user's kubeconfig, for which a login program was allowed; the kubeconfigs
 *   of meshproof's own clusters have none
 * @throws ERR_CLUSTER_UNREACHABLE if the file cannot be read; ERR_FOREIGN_FILE if other users can access it, or if it names
 *   a login program that is not allowed.
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
      { hint: "find out who wrote it, end the cluster with meshproof down, and start it again" },
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

/**
 * Reads and writes objects of any kind; sends them unchanged, with strict field validation.
 *
 * On an existing cluster it has a {@link Ledger} and cannot change or remove an object that this run did not create: a new
 * object is sent as a creation, and a change or removal has the uid that the creation returned as a precondition.
 */
export class ObjectApi extends KubernetesObjectApi {
  #ledger: Ledger | undefined;
  /** Keys of objects whose fields server-side apply manages; objects created by POST are handed over to it. */
  readonly #applied = new Set<string>();
  readonly #permitted = new WeakSet<RequestContext>();
  readonly warnings = new ApiWarnings();

  static of(config: KubeConfig, journal?: string): ObjectApi {
    const api = config.makeApiClient(ObjectApi);
    api.#ledger = journal === undefined ? undefined : Ledger.open(journal);
    api.setDefaultNamespace(config);
    return api;
  }

  /**
   * Server-side apply, forced (our field manager wins), with `fieldValidation=Strict` (unknown fields are errors).
   * @throws MeshproofError ERR_CLUSTER_REFUSED if this run did not create the object on an existing cluster
   */
  async apply(manifest: Manifest, options: { dryRun?: boolean } = {}): Promise<Manifest> {
    const ledger = this.#ledger;
    if (ledger === undefined) return await this.#patch(manifest, options.dryRun);
    await this.#refuseReach(ledger, manifest);
    if (options.dryRun) return await this.#post(ledger.mark(manifest), true);
    const ref = refOf(manifest);
    const own = ledger.own(ref);
    if (own === undefined) return await this.#create(ledger, ref, manifest);
    try {
      return await this.#change(ledger, ref, manifest, own);
    } catch (error) {
      // The object is gone, or another one has its name: then this is a creation.
      if (![404, 409, 422].includes(statusOf(error) ?? 0)) throw error;
      ledger.removed(ref);
      return await this.#create(ledger, ref, manifest);
    }
  }

  async #create(ledger: Ledger, ref: ObjectRef, manifest: Manifest): Promise<Manifest> {
    const intended = ledger.intend(ref);
    if (intended !== undefined) await this.#mirror(ledger, intended);
    this.#applied.delete(keyOf(ref));
    let created: Manifest;
    try {
      created = await this.#post(ledger.mark(manifest));
    } catch (error) {
      if (reasonOf(error) !== "AlreadyExists") throw error;
      const found = await this.#read(manifest);
      const own = ledger.recognise(ref, found);
      // The object may be this run's: the client repeats a request whose response was lost, and a process of this run may have died.
      if (own !== undefined && found.metadata.deletionTimestamp === undefined)
        return await this.#change(ledger, ref, manifest, own);
      if (found.metadata.deletionTimestamp !== undefined) throw error;
      throw new MeshproofError(
        "ERR_CLUSTER_REFUSED",
        `${namedAs(ref)} exists already, and this run did not create it: nothing of it is changed`,
        { hint: "remove or rename it if it is yours, or run on another cluster" },
      );
    }
    await this.#mirror(ledger, ledger.created(ref, created.metadata.uid ?? ""));
    return created;
  }

  async #change(ledger: Ledger, ref: ObjectRef, manifest: Manifest, own: Own): Promise<Manifest> {
    if (!this.#applied.has(keyOf(ref))) await this.#handOver(manifest, own);
    this.#applied.add(keyOf(ref));
    const marked = ledger.mark(manifest, own.nonce);
    return await this.#patch({ ...marked, metadata: { ...marked.metadata, uid: own.uid } });
  }

  /**
   * A creation records its fields under the operation `Update`, and a later apply would not remove those that it no longer
   * names. Like kubectl (client-go's csaupgrade), this changes the operation to `Apply`.
   */
  async #handOver(manifest: Manifest, own: Own): Promise<void> {
    const { metadata } = await this.#read(manifest);
    const index = (metadata.managedFields ?? []).findIndex(
      ({ manager, operation, subresource }) =>
        manager === FIELD_MANAGER && operation === "Update" && subresource === undefined,
    );
    if (index < 0) return;
    const request = await this.#request(manifest, "patch", "PATCH", "application/json-patch+json");
    const at = `/metadata/managedFields/${index}`;
    request.setBody(
      JSON.stringify([
        { op: "test", path: "/metadata/uid", value: own.uid },
        { op: "test", path: `${at}/manager`, value: FIELD_MANAGER },
        { op: "test", path: `${at}/operation`, value: "Update" },
        { op: "replace", path: `${at}/operation`, value: "Apply" },
      ]),
    );
    await this.requestPromise<Manifest>(request);
  }

  async #patch(manifest: Manifest, dryRun = false): Promise<Manifest> {
    const request = await this.#request(manifest, "patch", "PATCH", "application/apply-patch+yaml");
    request.setQueryParam("force", "true");
    request.setQueryParam("fieldValidation", "Strict");
    if (dryRun) request.setQueryParam("dryRun", "All");
    request.setBody(JSON.stringify(manifest));
    return await this.requestPromise<Manifest>(request);
  }

  async #post(manifest: Manifest, dryRun = false): Promise<Manifest> {
    const request = await this.#request(manifest, "create", "POST", "application/json");
    request.setQueryParam("fieldValidation", "Strict");
    if (dryRun) request.setQueryParam("dryRun", "All");
    request.setBody(JSON.stringify(manifest));
    return await this.requestPromise<Manifest>(request);
  }

  async #read(manifest: Manifest): Promise<Manifest> {
    return await this.get<Manifest>(await this.#pathOf(manifest, "patch"));
  }

  /** Records objects outside the run's own namespaces in the cluster too, in case this machine is lost. */
  async #mirror(ledger: Ledger, record: ObjectRecord): Promise<void> {
    const { namespaces, inCluster } = ledger.scope;
    if (namespaces.includes(record.namespace ?? "")) return;
    const path = `/api/v1/namespaces/${inCluster.namespace}/configmaps/${inCluster.name}`;
    const request = this.configuration.baseServer.makeRequestContext(path, "PATCH");
    this.#prepare(request, "application/merge-patch+json");
    // Each process uses its own key for an object, so that no process removes an entry of another one.
    const key = `${createHash("sha256").update(keyOf(record)).digest("hex").slice(0, 16)}.${record.nonce.slice(0, 8)}`;
    request.setBody(JSON.stringify({ data: { [key]: JSON.stringify(record) } }));
    await this.requestPromise<Manifest>(request).catch((cause: unknown) => {
      throw new MeshproofError(
        "ERR_JOURNAL",
        `the journal in the cluster, ConfigMap ${inCluster.namespace}/${inCluster.name}, cannot be written: ${messageOf(cause)}`,
        { hint: "meshproof records an object there before it creates it outside the run's namespaces", cause },
      );
    });
  }

  async #refuseReach(ledger: Ledger, manifest: Manifest): Promise<void> {
    const { namespaces, meshWide } = ledger.scope;
    const reach = reachOf(manifest, new Set(namespaces));
    if (reach !== undefined && (reach.permitted === "never" || !meshWide))
      throw new MeshproofError("ERR_CLUSTER_REFUSED", describeReach(reach));
    // Discovery decides what is namespaced: the server ignores the namespace of a cluster-scoped object.
    const resource = await this.resource(manifest.apiVersion, manifest.kind);
    if (resource !== undefined && !resource.namespaced && manifest.kind !== "Namespace")
      throw new MeshproofError("ERR_CLUSTER_REFUSED", `${namedAs(refOf(manifest))} is for the whole cluster`);
  }

  async #request(
    manifest: Manifest,
    action: "create" | "patch" | "delete",
    method: "POST" | "PATCH" | "DELETE",
    contentType: string,
  ): Promise<RequestContext> {
    const path = await this.#pathOf(manifest, action);
    const request = this.configuration.baseServer.makeRequestContext(path, method);
    this.#prepare(request, contentType);
    return request;
  }

  #prepare(request: RequestContext, contentType: string): void {
    request.setHeaderParam("Accept", "application/json");
    request.setHeaderParam("Content-Type", contentType);
    if (request.getHttpMethod() !== "DELETE") request.setQueryParam("fieldManager", FIELD_MANAGER);
    this.#permitted.add(request);
  }

  /** With a ledger the library's `create`, `patch`, `replace` and `delete` throw: they would bypass it. */
  protected override async requestPromise<T extends KubernetesObject>(
    request: RequestContext,
    type?: string,
    options?: Configuration,
  ): Promise<T> {
    if (this.#ledger !== undefined && request.getHttpMethod() !== "GET" && !this.#permitted.has(request))
      throw new Error("on a cluster that meshproof did not create, objects are changed by apply and remove alone");
    return await super.requestPromise<T>(request, type, options);
  }

  protected override async processResponse<T extends KubernetesObject>(
    got: ResponseContext,
    type?: string,
  ): Promise<T> {
    const value = await super.processResponse<T>(got, type);
    this.warnings.add(value, got.headers["warning"]);
    return value;
  }

  /** GET of any path, for resources without a typed client. */
  async get<T extends object>(path: string, accept = "application/json"): Promise<T> {
    const request = this.configuration.baseServer.makeRequestContext(path, "GET");
    request.setHeaderParam("Accept", accept);
    return await this.requestPromise<T & KubernetesObject>(request);
  }

  /**
   * Deletes an object; returns false if it does not exist.
   * @throws MeshproofError ERR_CLUSTER_REFUSED if this run did not create the object on an existing cluster
   */
  async remove(manifest: Manifest, gracePeriodSeconds?: number): Promise<boolean> {
    try {
      const ref = refOf(manifest);
      const ledger = this.#ledger;
      const uid = ledger && (ledger.own(ref) ?? (await this.#find(ledger, ref, manifest)))?.uid;
      if (ledger !== undefined && uid === undefined) return false;
      const grace = gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds };
      await this.#delete(manifest, { ...grace, ...(uid === undefined ? {} : { preconditions: { uid } }) });
      ledger?.removed(ref);
      return true;
    } catch (error) {
      if (statusOf(error) === 404) return false;
      // Another object, which is not this run's, has its name.
      if (this.#ledger !== undefined && statusOf(error) === 409) return false;
      throw error;
    }
  }

  /** Deletes the object with this uid; returns false if it is gone, even if another object has its name. */
  async removeExactly(ref: ObjectRef, uid: string): Promise<boolean> {
    try {
      await this.#delete(manifestOf(ref), { preconditions: { uid } });
      return true;
    } catch (error) {
      if (statusOf(error) === 404 || statusOf(error) === 409) return false;
      throw error;
    }
  }

  /** Reads an object of any kind; undefined if the object or its kind does not exist. */
  async find(ref: ObjectRef): Promise<Manifest | undefined> {
    try {
      return await this.#read(manifestOf(ref));
    } catch (error) {
      if (statusOf(error) === 404 || error instanceof UnknownKindError) return undefined;
      throw error;
    }
  }

  async #delete(manifest: Manifest, options: object): Promise<void> {
    const request = await this.#request(manifest, "delete", "DELETE", "application/json");
    request.setBody(JSON.stringify({ propagationPolicy: "Background", ...options }));
    await this.requestPromise(request, "V1Status");
  }

  /** Finds an object that another process of this run created. */
  async #find(ledger: Ledger, ref: ObjectRef, manifest: Manifest): Promise<Own | undefined> {
    if (ledger.names(ref)) return ledger.recognise(ref, await this.#read(manifest));
    throw new MeshproofError("ERR_CLUSTER_REFUSED", `${namedAs(ref)} is not removed: this run did not create it`);
  }

  /** The discovery of a group is cached; a kind that was added later (a CRD) needs a new one. */
  async #pathOf(manifest: Manifest, action: "create" | "patch" | "delete"): Promise<string> {
    try {
      return await this.specUriPath(manifest, action);
    } catch {
      const { apiVersion, kind } = manifest;
      delete this.apiVersionResourceCache[apiVersion];
      if ((await this.resource(apiVersion, kind)) === undefined) throw new UnknownKindError(apiVersion, kind);
      return await this.specUriPath(manifest, action);
    }
  }
}

function refOf({ apiVersion, kind, metadata: { namespace, name } }: Manifest): ObjectRef {
  return { apiVersion, kind, ...(namespace === undefined ? {} : { namespace }), name };
}

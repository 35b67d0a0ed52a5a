import { randomBytes } from "node:crypto";
import type { V1Pod } from "@kubernetes/client-node";
import type { Api } from "./api.ts";

/** Writes events about pods, so that `kubectl describe` shows what the kubelet did. */
export class Events {
  readonly #api: Api;
  readonly #nodeName: string;
  readonly #sent = new Map<string, { readonly path: string; count: number }>();
  #queue: Promise<void> = Promise.resolve();

  constructor(api: Api, nodeName: string) {
    this.#api = api;
    this.#nodeName = nodeName;
  }

  /** Never fails and never waits, since events are best effort. A repeated one only increments its count. */
  emit(pod: V1Pod, type: "Normal" | "Warning", reason: string, message: string, fieldPath?: string): void {
    this.#queue = this.#queue.then(() => this.#send(pod, type, reason, message, fieldPath)).catch(() => undefined);
  }

  /** Forgets what was sent for a pod. */
  forget(pod: V1Pod): void {
    for (const key of this.#sent.keys()) if (key.startsWith(`${pod.metadata?.uid}\0`)) this.#sent.delete(key);
  }

  async #send(pod: V1Pod, type: string, reason: string, message: string, fieldPath: string | undefined): Promise<void> {
    const { namespace = "", name = "", uid = "", resourceVersion } = pod.metadata ?? {};
    const now = new Date().toISOString().replace(/\.\d+/, "");
    const key = [uid, type, reason, message, fieldPath].join("\0");
    const old = this.#sent.get(key);
    if (old) {
      old.count++;
      await this.#api.patch(old.path, { count: old.count, lastTimestamp: now });
      return;
    }
    const path = `/api/v1/namespaces/${namespace}/events`;
    const event = `${name}.${randomBytes(8).toString("hex")}`;
    await this.#api.create(path, {
      metadata: { name: event, namespace },
      involvedObject: { apiVersion: "v1", kind: "Pod", namespace, name, uid, resourceVersion, fieldPath },
      type,
      reason,
      message,
      source: { component: "kubelet", host: this.#nodeName },
      reportingComponent: "kubelet",
      reportingInstance: this.#nodeName,
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
    });
    this.#sent.set(key, { path: `${path}/${event}`, count: 1 });
  }
}

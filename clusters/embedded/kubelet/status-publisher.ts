import type { V1Pod, V1PodCondition, V1PodStatus } from "@kubernetes/client-node";
import { type Api, isStatus } from "./api.ts";
import { pause } from "./deadline.ts";

export interface StatusPublisherOptions {
  readonly api: Pick<Api, "patch">;
  readonly pod: () => V1Pod;
  /** Returns the current status; its argument is the pod with the last published conditions. */
  readonly status: (pod: V1Pod) => V1PodStatus;
  /** The pod is gone from the API; nothing is written any more. */
  readonly gone: AbortSignal;
  readonly log: (line: string) => void;
}

/** Writes a pod's status if it differs from the last written one; one write at a time, the last state wins. */
export class StatusPublisher {
  readonly #options: StatusPublisherOptions;
  #published: { readonly text: string; readonly conditions: readonly V1PodCondition[] } = { text: "", conditions: [] };
  #dirty = false;
  #writing: Promise<void> | undefined;

  constructor(options: StatusPublisherOptions) {
    this.#options = options;
  }

  /** Call this after a possible change; resolves once the current status has been written, or the pod is gone. */
  publish(): Promise<void> {
    this.#dirty = true;
    this.#writing ??= this.#write();
    return this.#writing;
  }

  async #write(): Promise<void> {
    const { api, pod, gone, log } = this.#options;
    try {
      for (let failures = 0; this.#dirty && !gone.aborted;) {
        // Changes of the same moment go together.
        await new Promise((resolve) => setImmediate(resolve));
        this.#dirty = false;
        const status = this.#status();
        const text = JSON.stringify(status);
        if (text === this.#published.text) continue;
        const { namespace, name, uid } = pod().metadata ?? {};
        try {
          // The uid makes the server refuse it for another pod of the same name.
          const body = { metadata: { uid }, status };
          await api.patch(`/api/v1/namespaces/${namespace}/pods/${name}/status`, body, "strategic-merge");
          this.#published = { text, conditions: status.conditions ?? [] };
          failures = 0;
        } catch (error) {
          // The pod is deleted; the watch will report it.
          if (isStatus(error, 404)) return;
          log(`pod ${namespace}/${name}: status not written: ${(error as Error).message}`);
          this.#dirty = true;
          await pause(Math.min(200 * 2 ** failures++, 5000), gone);
        }
      }
    } finally {
      // In the same turn in which the loop ends, so that a later call starts a new one.
      this.#writing = undefined;
    }
  }

  #status(): V1PodStatus {
    const pod = this.#options.pod();
    const own = this.#published.conditions;
    const others = (pod.status?.conditions ?? []).filter(({ type }) => !own.some((c) => c.type === type));
    return this.#options.status({ ...pod, status: { ...pod.status, conditions: [...own, ...others] } });
  }
}

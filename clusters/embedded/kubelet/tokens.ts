import type { V1Pod, V1ServiceAccountTokenProjection } from "@kubernetes/client-node";
import type { Api } from "./api.ts";

interface Token {
  readonly value: string;
  /** Milliseconds since the epoch. */
  readonly renewAt: number;
}

/** The service account tokens of one pod, from the TokenRequest API and bound to the pod. */
export class PodTokens {
  readonly #api: Api;
  readonly #tokens = new Map<string, Token>();

  constructor(api: Api) {
    this.#api = api;
  }

  /** Requests tokens that are missing or due. */
  async refresh(pod: V1Pod): Promise<void> {
    const projections = (pod.spec?.volumes ?? [])
      .flatMap((volume) => volume.projected?.sources ?? [])
      .flatMap((source) => source.serviceAccountToken ?? []);
    await Promise.all(
      projections.map(async (projection) => {
        const old = this.#tokens.get(keyOf(projection));
        // eslint-disable-next-line no-restricted-syntax -- a token expires by the wall clock
        if (old && old.renewAt > Date.now()) return;
        try {
          this.#tokens.set(keyOf(projection), await this.#request(pod, projection));
        } catch (error) {
          // The old token may still be valid.
          if (!old) throw error;
        }
      }),
    );
  }

  get(projection: V1ServiceAccountTokenProjection): string {
    return this.#tokens.get(keyOf(projection))?.value ?? "";
  }

  /** When the next token is due, in milliseconds since the epoch; undefined without tokens. */
  get renewAt(): number | undefined {
    return this.#tokens.size ? Math.min(...[...this.#tokens.values()].map((token) => token.renewAt)) : undefined;
  }

  async #request(pod: V1Pod, projection: V1ServiceAccountTokenProjection): Promise<Token> {
    const { namespace, name, uid } = pod.metadata ?? {};
    const account = pod.spec?.serviceAccountName ?? "default";
    const requestedAt = Date.now();
    const answer = await this.#api.create<{ status: { token: string; expirationTimestamp: string } }>(
      `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`,
      {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        spec: {
          audiences: projection.audience ? [projection.audience] : [],
          expirationSeconds: projection.expirationSeconds ?? 3600,
          boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid },
        },
      },
    );
    return {
      value: answer.status.token,
      renewAt: renewalTime(requestedAt, Date.parse(answer.status.expirationTimestamp)),
    };
  }
}

/** After 80 % of its life or a day, whichever comes first (Kubernetes: service account token volume projection). */
export function renewalTime(requestedAt: number, expiresAt: number): number {
  return requestedAt + Math.min((expiresAt - requestedAt) * 0.8, 24 * 3600 * 1000);
}

function keyOf({ audience, expirationSeconds, path }: V1ServiceAccountTokenProjection): string {
  return JSON.stringify([audience, expirationSeconds, path]);
}

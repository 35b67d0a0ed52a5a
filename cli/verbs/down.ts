import { makerOf } from "../cluster.ts";
import type { MadeKind } from "../context.ts";

export async function down(options: { readonly cluster: MadeKind; readonly name: string }): Promise<number> {
  const stopped = await (await makerOf(options.cluster)).stop(options.name);
  console.log(stopped ? `cluster "${options.name}" is stopped` : `no cluster named "${options.name}" is running`);
  return 0;
}

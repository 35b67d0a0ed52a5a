import { stopEmbedded } from "../../clusters/embedded/index.ts";

export async function down(options: { readonly name: string }): Promise<number> {
  const stopped = await stopEmbedded(options.name);
  console.log(stopped ? `cluster "${options.name}" is stopped` : `no cluster named "${options.name}" is running`);
  return 0;
}

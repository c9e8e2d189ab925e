// Errors are shown; a server that does not answer is waited for.

import { hideProblem, say, showProblem } from "./messages.ts";
import { type Engine, Superseded, Unreachable } from "./types.ts";

const PING = 1000; // ms between two questions whether the server is back

export class Connection {
  isLost = false;

  constructor(
    private readonly engine: Engine,
    private readonly onBack: () => void,
  ) {}

  complain(error: unknown): void {
    if (error instanceof Superseded) return;
    if (error instanceof Unreachable) void this.waitForServer();
    else showProblem(error instanceof Error ? error.message : String(error));
  }

  /** What was wrong before is no longer of interest, but that the server is gone is. */
  forgive(): void {
    if (!this.isLost) hideProblem();
  }

  private async waitForServer(): Promise<void> {
    if (this.isLost) return;
    this.isLost = true;
    showProblem("The server does not answer. What you made is still here; the page goes on when it is back.");
    while (this.isLost) {
      await new Promise((resolve) => setTimeout(resolve, PING));
      await this.engine.ping().then(
        () => (this.isLost = false),
        () => {},
      );
    }
    hideProblem();
    say("The server is back.");
    this.onBack();
  }
}

// What to show: words that an agent, a ref or an ending must have. `agent:ada ref:q1 event:interrupted step`

const FIELDS = new Set(["agent", "ref", "event", "status"]);

export class Filter {
  constructor(text = "") {
    this.text = text.trim();
    this.parts = this.text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
      const [field, rest] = word.split(/:(.*)/s);
      return FIELDS.has(field) && rest ? { field: field === "status" ? "event" : field, word: rest } : { field: null, word };
    });
    // With words about agents alone whole lanes go, and the rest can be drawn from bins.
    this.agentsOnly = this.parts.every((part) => part.field === "agent");
  }

  get empty() {
    return this.parts.length === 0;
  }

  agent(agent) {
    const name = agent.name.toLowerCase();
    return this.parts.every((part) => part.field !== "agent" || name.includes(part.word));
  }

  span(span) {
    return this.parts.every(({ field, word }) => {
      if (field === "agent") return span.agent.name.toLowerCase().includes(word);
      if (field === "ref") return span.ref.toLowerCase().includes(word);
      if (field === "event") return happened(span, word);
      return [span.agent.name, span.ref, span.status ?? "running", span.reason ?? "", span.handler].some((text) =>
        text.toLowerCase().includes(word),
      );
    });
  }
}

// Whether something of that name is part of a query's life: thought, rejected, interrupted, ...
function happened(span, word) {
  const names = ["submitted"];
  if (span.started !== null) names.push("started");
  if (span.first !== null) names.push("thought");
  names.push(span.status ?? "running");
  if (span.finished !== null) names.push("finished");
  return names.some((name) => name.includes(word));
}

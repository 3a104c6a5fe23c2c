// Sizes that several modules go by, in px.

export const LANE = 28;
export const AXIS = 22;

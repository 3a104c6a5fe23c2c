// Lanes where there is too much to tell apart, painted pixel by pixel into one picture: ten thousand bars cost what a
// hundred do.

import { COLUMN } from "./bins.js";
import { LANE } from "./sizes.js";

const OPAQUE = [0.45, 0.85, 0.9, 0.9]; // by kind of bins.js: thoughts, successes, failures, interrupts

export class Density {
  constructor() {
    this.canvas = new OffscreenCanvas(1, 1);
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    this.known = new Map();
    this.used = false;
  }

  begin(columns, lanes) {
    const width = columns + 1, height = Math.max(1, lanes * LANE);
    if (!this.image || this.image.width !== width || this.image.height !== height) {
      this.image = new ImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    } else if (this.used) {
      this.pixels.fill(0);
    }
    this.used = false;
  }

  // The bars of one lane: `each(mark)` calls `mark(column, kind, count)`.
  lane(place, colours, each) {
    const { pixels } = this, wide = this.image.width;
    const paints = [colours.think, colours.success, colours.error, colours.interrupted].map((one, kind) => this.paint(one, kind));
    const top = place * LANE + 3, floor = (place + 1) * LANE - 3, room = LANE - 6;
    this.used = true;
    each((column, kind, count) => {
      let tall = 3 + 3.2 * Math.log2(1 + count);
      tall = Math.round(Math.min(room, kind === 0 ? tall : Math.max(4, 0.7 * tall)));
      const from = kind < 2 ? floor - tall : top;
      const paint = paints[kind];
      for (let row = from, at = from * wide + column; row < from + tall; row++, at += wide) pixels[at] = paint;
    });
  }

  // Put it all onto the page, its left edge at `x`, its first lane at `y`.
  show(pen, x, y) {
    if (!this.used) return;
    const { width, height } = this.image;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.pen.putImageData(this.image, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.canvas, x, y, width * COLUMN, height);
  }

  // A colour of the theme as a pixel, whatever its notation is.
  paint(colour, kind) {
    const key = `${colour} ${kind}`;
    let pixel = this.known.get(key);
    if (pixel === undefined) {
      const swatch = new OffscreenCanvas(1, 1).getContext("2d");
      swatch.fillStyle = colour;
      swatch.fillRect(0, 0, 1, 1);
      const [red, green, blue] = swatch.getImageData(0, 0, 1, 1).data;
      pixel = ((Math.round(255 * OPAQUE[kind]) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
      this.known.set(key, pixel);
    }
    return pixel;
  }
}

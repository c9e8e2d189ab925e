// PNG files whose pixels are numbers: canvases write colours only.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const [GREY, PALETTE] = [0, 3];
const MOST_COLOURS = 255;

export type Rgb = readonly [red: number, green: number, blue: number];

/**
 * Write a label map: a palette image for up to 255 labels, which viewers show in colours, 16-bit grey for more.
 *
 * @param labels Row after row; 0 is black.
 * @param colours Of the labels from 1 on.
 */
export async function labelMapToPng(
  labels: Uint16Array,
  height: number,
  width: number,
  colours: readonly Rgb[],
): Promise<Blob> {
  const isPalette = colours.length <= MOST_COLOURS;
  const chunks = [chunk("IHDR", header(height, width, isPalette ? 8 : 16, isPalette ? PALETTE : GREY))];
  if (isPalette) chunks.push(chunk("PLTE", Uint8Array.from([[0, 0, 0], ...colours].flat())));
  chunks.push(chunk("IDAT", await deflate(rowsOf(labels, height, width, isPalette ? 1 : 2))), chunk("IEND", new Uint8Array()));
  return new Blob([Uint8Array.from(SIGNATURE), ...chunks] as BlobPart[], { type: "image/png" });
}

function header(height: number, width: number, bits: number, kind: number): Uint8Array {
  const bytes = new Uint8Array(13);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  bytes.set([bits, kind], 8);
  return bytes;
}

/** Each row after a 0, which says that it is not filtered; numbers of two bytes have the high one first. */
function rowsOf(labels: Uint16Array, height: number, width: number, bytesPerPixel: number): Uint8Array {
  const rows = new Uint8Array(height * (1 + width * bytesPerPixel));
  let to = 0;
  for (let y = 0; y < height; y++) {
    to++;
    for (let from = y * width; from < (y + 1) * width; from++) {
      if (bytesPerPixel === 2) rows[to++] = labels[from] >> 8;
      rows[to++] = labels[from] & 255;
    }
  }
  return rows;
}

async function deflate(bytes: Uint8Array): Promise<Uint8Array> {
  const packed = new Blob([bytes as BlobPart]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}

function chunk(kind: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = kind.charCodeAt(i);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

const CRC_OF_BYTE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_OF_BYTE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

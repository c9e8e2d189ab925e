// The export dialog: which files there are, and handing them to the browser.

import { byId, make } from "./dom.ts";
import { type ExportedImage, toCoco, toCutout, toLabelMapPng, toSa1b, toSvg } from "./exports.ts";

interface Format {
  readonly title: string;
  readonly ending: string;
  readonly about: string;
  write(image: ExportedImage, picture: () => Promise<ImageBitmap>): Blob | Promise<Blob>;
}

const json = (document: object) => new Blob([JSON.stringify(document)], { type: "application/json" });

const FORMATS: readonly Format[] = [
  {
    title: "COCO JSON",
    ending: ".coco.json",
    about: "Masks as compressed run lengths, a category for each name",
    write: (image) => json(toCoco(image)),
  },
  {
    title: "SA-1B JSON",
    ending: ".sa1b.json",
    about: "As Segment Anything's own data set has it",
    write: (image) => json(toSa1b(image)),
  },
  {
    title: "Label map",
    ending: ".labels.png",
    about: "The value of a pixel is the number of its object, 0 elsewhere",
    write: (image) => toLabelMapPng(image),
  },
  {
    title: "SVG",
    ending: ".svg",
    about: "Outlines as paths, one for each object",
    write: (image) => new Blob([toSvg(image)], { type: "image/svg+xml" }),
  },
  {
    title: "Cut-out",
    ending: ".cutout.png",
    about: "The objects on a transparent ground",
    write: async (image, picture) => toCutout(image, await picture()),
  },
];

/** Show the dialog; `picture` gives the photo in full size. */
export function showExport(
  image: ExportedImage,
  picture: () => Promise<ImageBitmap>,
  onSaved: (name: string) => void,
  onError: (error: unknown) => void,
): void {
  const count = image.objects.length;
  byId("export-what").textContent = `${count === 1 ? "One object" : `${count} objects`} of ${image.name}`;
  const dialog = byId<HTMLDialogElement>("export-dialog");
  byId("formats").replaceChildren(
    ...FORMATS.map((format) => {
      const choice = make("button", { type: "button" }, make("strong", {}, format.title), make("code", {}, format.ending));
      choice.append(make("span", { class: "quiet" }, format.about));
      choice.addEventListener("click", async () => {
        try {
          const name = image.name.replace(/\.[^.]+$/, "") + format.ending;
          save(await format.write(image, picture), name);
          onSaved(name);
        } catch (error) {
          onError(error);
        } finally {
          dialog.close();
        }
      });
      return choice;
    }),
  );
  dialog.showModal();
}

function save(file: Blob, name: string): void {
  const address = URL.createObjectURL(file);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser may still be writing
}

"""Two autoencoders learn from a stream of digits, class after class; one remembers the first, one forgets them."""

import argparse
import random
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor, nn

import pamiq_sched as ps


class VAE(nn.Module):
    """From images of 64 pixels to codes of 12 numbers, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2 * 12))
        self.decoder = nn.Sequential(nn.Linear(12, 128), nn.ReLU(), nn.Linear(128, 64))

    def encode(self, images: Tensor) -> Tensor:
        return self.encoder(images)[..., :12]

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> Tensor:
        return self.decoder(self.encode(images)).sigmoid()

    def error(self, images: Tensor) -> float:
        return float((self.reconstruct(images) - images).square().mean())


class Stream(ps.Environment[Tensor, Tensor]):
    """Shows images one after another, the last one for ever."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images, self.step = images, 0

    def observe(self) -> Tensor:
        return self.images[min(self.step, len(self.images) - 1)]

    def affect(self, action: Tensor) -> None:  # noqa: ARG002 - to look does not change what there is to see
        self.step += 1


class Watcher(ps.Agent[Tensor, Tensor]):
    """Encodes what it sees, and keeps it for both trainers."""

    def setup(self) -> None:
        super().setup()
        self.encode = self.get_inference_model("remembering")
        self.collectors = [self.get_data_collector(name) for name in ("remembering", "forgetful")]

    def step(self, observation: Tensor) -> Tensor:
        for collector in self.collectors:
            collector.collect(observation)
        return self.encode(observation)


class VAETrainer(ps.TorchTrainer):
    """Learns the model of a name from the buffer of that name; how well, images that the agent never sees tell."""

    def __init__(self, name: str, held_out: list[Tensor]) -> None:
        super().__init__(name, 64, max_replay_ratio=32, max_replay_burst=10_000)  # 32: a batch for two images
        self.name, self.held_out = name, held_out
        self.every_steps(25, self.judge)

    def create_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        self.vae = self.get_torch_training_model(self.name, VAE).model
        return {"adam": ps.extend_optimizer(torch.optim.Adam(self.vae.parameters(), lr=2e-3), "beta", 0.5)}

    def create_schedules(self) -> dict[str, ps.Schedule]:
        return {"beta": ps.Schedule(self.optimizers["adam"], ps.WarmupCurve(500), "beta")}

    def train(self) -> None:
        user = self.get_data_user(self.name)
        images = torch.stack(random.choices(user.get_data(), k=64))  # noqa: S311 - no secrets
        user.count_samples(len(images))
        mean, log_variance = self.vae.encoder(images).chunk(2, -1)
        logits = self.vae.decoder(mean + (log_variance / 2).exp() * torch.randn_like(mean))
        misfit = nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="sum") / len(images)
        information = (mean**2 + log_variance.exp() - 1 - log_variance).sum() / 2 / len(images)
        self.optimizers["adam"].zero_grad()
        (misfit + self.optimizers["adam"].param_groups[0]["beta"] * information).backward()
        self.optimizers["adam"].step()

    def judge(self) -> None:
        for digit, images in enumerate(self.held_out):
            self.log(f"error of {digit}", self.vae.error(images))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/continual_vae"))
    parser.add_argument("--short", action="store_true", help="a second, in which little is learned")
    args = parser.parse_args(arguments)
    steps, rate = (20, 200) if args.short else (500, 100)
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    pixels, labels = load_digits(return_X_y=True)
    images = [torch.tensor(pixels[labels == digit] / 16, dtype=torch.float32) for digit in range(10)]
    stream = Stream(torch.cat([some[torch.randint(len(some) - 40, (steps,))] for some in images]))
    held_out = [some[-40:] for some in images]
    vaes = {"remembering": VAE(), "forgetful": VAE()}
    examples = torch.stack([some[0] for some in held_out])
    with ps.System(
        ps.FixedIntervalInteraction.with_sleep_adjustor(Watcher(), stream, 1 / rate),
        models={name: ps.TorchTrainingModel(vae, inference_procedure="encode") for name, vae in vaes.items()},
        buffers={"remembering": ps.RandomReplacementBuffer(300, 0.1), "forgetful": ps.SequentialBuffer(300)},
        trainers={name: VAETrainer(name, held_out) for name in vaes},
        config=ps.LaunchConfig(args.out / "states", metrics_sinks=[ps.JsonLinesSink(args.out / "metrics.jsonl")]),
    ) as system:
        pictures = {"held out": examples}
        for digit in (0, 4, 9):
            while system.status().steps < (digit + 1) * steps and not system.wait(0.02):
                pass
            system.pause()
            pictures |= {f"{name},\n{digit}s shown last": vae.reconstruct(examples) for name, vae in vaes.items()}
            system.save_state()
            system.resume()
    untrained, remembered, forgotten = ([v.error(i) for i in held_out] for v in (VAE(), *vaes.values()))
    for row in zip(range(10), untrained, remembered, forgotten, strict=True):
        print("mean squared error of {}s: {:.3f} untrained, {:.3f} remembered, {:.3f} forgotten".format(*row))
    figure = Figure(figsize=(8, 9), layout="constrained")
    axes = figure.subplot_mosaic([["pictures"] * 2, list(vaes)], height_ratios=(2, 1))
    tiles = [nn.functional.pad(row.view(10, 8, 8), (1, 1, 1, 1)) for row in pictures.values()]
    axes["pictures"].imshow(torch.cat([torch.cat([*row], 1) for row in tiles]).numpy(), cmap="gray_r")
    axes["pictures"].set(xticks=[], yticks=[10 * i + 4.5 for i in range(len(pictures))], yticklabels=pictures)
    points = ps.read_json_lines(args.out / "metrics.jsonl")[-1].points
    for name in vaes:
        for digit in range(10):
            curve = [(point.step, point.value) for point in points if point.name == f"{name}/error of {digit}"]
            axes[name].plot(*zip(*curve, strict=True), label=f"{digit}s")
        axes[name].set(title=name, xlabel="updates", ylabel="error of held-out images", ylim=(0, 0.1))
    figure.legend(*axes[name].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(args.out / "continual_vae.png", dpi=100)
    if is_forgotten := sum(remembered) > sum(forgotten) / 1.5:
        print("Not remembered: the errors are not by a third lower than forgotten ones.", file=sys.stderr)
    return int(is_forgotten)


if __name__ == "__main__":
    sys.exit(main())

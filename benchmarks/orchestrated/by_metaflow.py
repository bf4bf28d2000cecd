"""Seven steps that do nothing, by Metaflow."""

from metaflow import FlowSpec, step


class Empty(FlowSpec):
    @step
    def start(self):
        self.next(self.second)

    @step
    def second(self):
        self.next(self.third)

    @step
    def third(self):
        self.next(self.fourth)

    @step
    def fourth(self):
        self.next(self.fifth)

    @step
    def fifth(self):
        self.next(self.sixth)

    @step
    def sixth(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Empty()

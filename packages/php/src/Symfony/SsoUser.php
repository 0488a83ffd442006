<?php

declare(strict_types=1);

namespace Sso\Symfony;

use Symfony\Component\Security\Core\User\UserInterface;

/** A user of a program without users of its own: the claims. */
final class SsoUser implements UserInterface
{
    /** @var array<string, mixed> */
    private array $claims;
    /** @var string[] */
    private array $roles;

    /**
     * @param array<string, mixed> $claims
     * @param string[] $roles roles of Symfony
     */
    public function __construct(array $claims, array $roles)
    {
        $this->claims = $claims;
        $this->roles = $roles;
    }

    /** @return array<string, mixed> */
    public function claims(): array
    {
        return $this->claims;
    }

    public function getUserIdentifier(): string
    {
        return $this->claims['sub'];
    }

    public function getRoles(): array
    {
        return $this->roles;
    }

    public function getUsername(): string
    {
        return $this->claims['sub'];
    }

    public function getPassword(): ?string
    {
        return null;
    }

    public function getSalt(): ?string
    {
        return null;
    }

    public function eraseCredentials(): void
    {
    }
}

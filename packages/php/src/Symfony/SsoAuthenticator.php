<?php

declare(strict_types=1);

namespace Sso\Symfony;

use Sso\LocalUsers;
use SsoClient;
use SsoException;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;
use Symfony\Component\Security\Core\Authentication\Token\TokenInterface;
use Symfony\Component\Security\Core\Exception\AuthenticationException;
use Symfony\Component\Security\Core\Exception\CustomUserMessageAuthenticationException;
use Symfony\Component\Security\Core\User\UserInterface;
use Symfony\Component\Security\Http\Authenticator\AbstractAuthenticator;
use Symfony\Component\Security\Http\Authenticator\Passport\Badge\UserBadge;
use Symfony\Component\Security\Http\Authenticator\Passport\Passport;
use Symfony\Component\Security\Http\Authenticator\Passport\SelfValidatingPassport;
use Symfony\Component\Security\Http\EntryPoint\AuthenticationEntryPointInterface;

/**
 * Authenticates every request from the session of SsoClient, for a firewall with `stateless: true`: so an ended session
 * counts at once, and nothing of the user is kept twice.
 */
final class SsoAuthenticator extends AbstractAuthenticator implements AuthenticationEntryPointInterface
{
    private SsoClient $client;
    /** @var array<string, string> */
    private array $roles;
    private ?LocalUsers $users;
    private string $path;

    /**
     * @param array<string, string> $roles role of the application => role of Symfony. Others are left out.
     * @param LocalUsers|null $users finds users of the program; null: every user may come in
     * @param string $path the path of the redirect URI
     */
    public function __construct(SsoClient $client, array $roles = [], ?LocalUsers $users = null, string $path = '/sso')
    {
        $this->client = $client;
        $this->roles = $roles;
        $this->users = $users;
        $this->path = $path;
    }

    public function supports(Request $request): ?bool
    {
        return $request->getPathInfo() !== $this->path && $this->client->user() !== null;
    }

    public function authenticate(Request $request): Passport
    {
        $claims = $this->client->user();
        if ($claims === null) {
            throw new AuthenticationException('The session ended.');
        }
        return new SelfValidatingPassport(new UserBadge($claims['sub'], function () use ($claims): UserInterface {
            return $this->userOf($claims);
        }));
    }

    /** @param array<string, mixed> $claims */
    private function userOf(array $claims): UserInterface
    {
        if ($this->users === null) {
            $given = array_intersect_key($this->roles, array_flip(is_array($claims['roles'] ?? null) ? $claims['roles'] : []));
            return new SsoUser($claims, array_values(array_unique(array_merge(['ROLE_USER'], array_values($given)))));
        }
        try {
            $user = $this->users->find($claims);
        } catch (SsoException $error) {
            throw new CustomUserMessageAuthenticationException($error->getMessage());
        }
        if ($user === null) {
            throw new CustomUserMessageAuthenticationException('This program has no account for you. Ask its administrator.');
        }
        return $user;
    }

    public function onAuthenticationSuccess(Request $request, TokenInterface $token, string $firewallName): ?Response
    {
        return null;
    }

    public function onAuthenticationFailure(Request $request, AuthenticationException $exception): ?Response
    {
        $error = new SsoException('unknown_user', $exception->getMessageKey());
        return Answers::response($this->client->failure(Answers::server($request), $error));
    }

    public function start(Request $request, ?AuthenticationException $authException = null): Response
    {
        return Answers::response($this->client->challenge(Answers::server($request)));
    }
}
